"""`GET /api/watch`: what happens in the store, as lines of JSON that come as it happens, until the client leaves.

    where      a filter; left out: everything
    interval   seconds between looks, from 0.2 to 60; left out: 1

Each line is a change as `drawbar.watching.changes` has them. Here they also tell how the gateway's recorder does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import anyio
import anyio.to_thread

from drawbar.errors import StoreError
from drawbar.proxy.client import Client
from drawbar.proxy.metrics import recorder_lag
from drawbar.watching.changes import Begun, Change, RecorderState, Trouble, to_lines
from drawbar.watching.watcher import Watcher
from drawbar.wire.dialect import BadBody

if TYPE_CHECKING:
    from drawbar.gateway import Gateway

MOST: Final = 16
"""Clients that watch one gateway at a time."""
_SHORTEST: Final = 0.2
_LONGEST: Final = 60.0
_LINES: Final = (b"content-type", b"application/x-ndjson")
_FRESH: Final = (b"cache-control", b"no-store")


class TooManyWatch(RuntimeError):
    """As many clients watch as may."""


class Watching:
    """The clients that watch one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._threads = anyio.CapacityLimiter(2)
        self._clients = 0

    async def tell(self, client: Client) -> None:
        """Tell one client of all changes, until it leaves or the gateway stops.

        Raises:
            BadBody, ConfigurationError: what it asks for cannot be meant; nothing was sent.
            TooManyWatch: the same.
        """
        where, interval = _asked(client.query)
        store = self._gateway.store
        watcher = await anyio.to_thread.run_sync(Watcher, store, where, limiter=self._threads)
        if self._clients >= MOST:
            raise TooManyWatch(f"{MOST} clients watch this gateway already; another may once one of them has left.")
        self._clients += 1
        left = asyncio.Event()
        client.watch(left.set)
        try:
            await client.start(200, [_LINES, _FRESH])
            await client.write(to_lines([Begun(store=store.url, where=where)]))
            while not left.is_set() and self._gateway.traffic.refusing is None:
                await client.write(to_lines(await self._look(watcher)))
                with anyio.move_on_after(interval):
                    await left.wait()
            await client.write(b"", last=True)
        finally:
            client.unwatch()
            self._clients -= 1

    async def _look(self, watcher: Watcher) -> list[Change]:
        recorder = self._gateway.recorder
        state = RecorderState(
            lag=await recorder_lag(recorder), waiting=recorder.pending, failing=recorder.failing
        )  # fmt: skip
        try:
            return await anyio.to_thread.run_sync(watcher.look, state, limiter=self._threads)
        except StoreError as error:
            return [Trouble(message=str(error))]


def _asked(query: str) -> tuple[str, float]:
    """The filter and the interval that a query names. Raises `BadBody`."""
    given = parse_qs(query, keep_blank_values=True)
    try:
        interval = float(given.get("interval", ["1"])[-1])
    except ValueError:
        interval = 0.0
    if not _SHORTEST <= interval <= _LONGEST:
        raise BadBody(f"`interval` is a number of seconds from {_SHORTEST} to {_LONGEST:g}")
    return given.get("where", [""])[-1], interval
