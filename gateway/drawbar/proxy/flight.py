"""The answer of one call as its client gets it, kept for a while for whoever asks the same again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from drawbar.proxy.client import Client
from drawbar.proxy.upstream import Headers

if TYPE_CHECKING:
    from drawbar.proxy.call import Call

_LARGEST_KEPT: Final = 4 * 1024 * 1024
MOST_KEPT: Final = 4
"""Answers that a session keeps for retries."""
LIVE_KEPT: Final = 64
"""Answers that are kept for retries of all requests without a session."""
_ROOM: Final = 32 * 1024 * 1024
"""Bytes of the answers that are kept in one place."""


class Flight:
    """One answer: under way, then finished. Retries that join it get what was said before and what comes."""

    __slots__ = ("_parts", "_waiting", "call", "finished", "followers", "good", "head", "on_empty", "size", "torn")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.head: tuple[int, Headers] | None = None
        self.finished = False
        self.good = False
        """It ends, or ended, with a whole answer that is recorded."""
        self.torn = False
        """It broke off, and so does what its followers get."""
        self.followers = 0
        self.on_empty: Callable[[], None] | None = None
        """Called when the last follower has left before the end."""
        self._parts: list[bytes] = []
        self.size = 0
        self._waiting: list[asyncio.Future[None]] = []

    def start(self, status: int, headers: Headers) -> None:
        self.head = (status, headers)
        self._wake()

    def add(self, data: bytes) -> None:
        self._parts.append(data)
        self.size += len(data)
        self._wake()

    def finish(self) -> None:
        self.finished = True
        self.call.request = None  # a whole conversation, of which only the answer may be asked for again
        self.good = self.good and self.size <= _LARGEST_KEPT
        self._wake()

    async def follow(self, client: Client) -> None:
        """Give this client the same answer, as far as it is known, and then as it comes."""
        self.followers += 1
        client.watch(self._wake)
        try:
            while self.head is None and not self.finished and not client.left:
                await self._change()
            if self.head is None:
                return
            await client.start(*self.head)
            at = 0
            while not client.left:
                parts, at = self._parts[at:], len(self._parts)
                if self.finished:
                    await client.write(b"".join(parts), last=not self.torn)
                    if self.torn:
                        await client.tear()
                    return
                if parts:
                    await client.write(b"".join(parts))
                else:
                    await self._change()
        finally:
            client.unwatch()
            self.followers -= 1
            if not self.followers and not self.finished and self.on_empty is not None:
                self.on_empty()

    async def _change(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _wake(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)


def prune(flights: dict[object, Flight], most: int) -> None:
    """Forget answers that are of no use again, and the oldest of those that are."""
    for key in [key for key, flight in flights.items() if flight.finished and not flight.good]:
        del flights[key]
    finished = [key for key, flight in flights.items() if flight.finished]
    room = _ROOM
    for number, key in enumerate(reversed(finished), start=1):
        room -= flights[key].size
        if number > most or room < 0:
            del flights[key]


class Outlet:
    """Where an answer goes: to its client, and into its flight if it has one."""

    __slots__ = ("client", "flight", "last_write")

    def __init__(self, client: Client, flight: Flight | None) -> None:
        self.client = client
        self.flight = flight
        self.last_write = 0.0

    @property
    def started(self) -> bool:
        return self.client.started

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """The whole answer at once."""
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        if self.flight is not None:
            self.flight.start(status, headers)
            self.flight.add(body)
        await self.client.start(status, headers)
        await self.client.write(body, last=True)

    async def start(self, status: int, headers: Headers) -> None:
        if self.flight is not None:
            self.flight.start(status, headers)
        await self.client.start(status, headers)

    async def write(self, data: bytes) -> None:
        """A part of the answer."""
        self.last_write = asyncio.get_running_loop().time()
        if self.flight is not None:
            self.flight.add(data)
        await self.client.write(data)

    async def end(self, data: bytes = b"") -> None:
        """The last part of the answer."""
        if self.flight is not None and data:
            self.flight.add(data)
        await self.client.write(data, last=True)

    async def tear(self) -> bool:
        """Break the answer off where it is, as the upstream did; False: the server cannot."""
        torn = await self.client.tear()
        if self.flight is not None:
            self.flight.torn = torn
        return torn

    async def keepalive(self, data: bytes) -> None:
        """Something for this connection alone."""
        self.last_write = asyncio.get_running_loop().time()
        await self.client.write(data)
