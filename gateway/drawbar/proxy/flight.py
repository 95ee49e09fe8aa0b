"""The answer of one call as its client gets it, kept for a while for whoever asks the same again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from drawbar.proxy.call import Call
    from drawbar.proxy.client import Client
    from drawbar.proxy.upstream import Headers

_LARGEST_KEPT: Final = 4 * 1024 * 1024
MOST_KEPT: Final = 4
"""Answers that a session keeps for retries."""
LIVE_KEPT: Final = 64
"""Answers that are kept for retries of all requests without a session."""
_ROOM: Final = 32 * 1024 * 1024
"""Bytes of the answers that are kept in one place."""


class Flight:
    """One answer: under way, then finished. Retries that join it get what was said before and what comes."""

    __slots__ = (
        "_client", "_lost", "_parts", "_waiting", "attempt", "call", "finished", "followers", "good", "head",
        "on_empty", "same", "size", "torn",
    )  # fmt: skip

    def __init__(self, call: Call, client: Client, same: object, attempt: int) -> None:
        """`same`: what identifies the request; `attempt`: how often it had been sent before."""
        self.call = call
        self.same = same
        self.attempt = attempt
        self._client: Client | None = client
        self._lost = False
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

    @property
    def lost(self) -> bool:
        """Nobody is there for it: they left before they had it."""
        return self._lost if self._client is None else self._client.left and not self.followers

    def start(self, status: int, headers: Headers) -> None:
        self.head = (status, headers)
        self._wake()

    def add(self, data: bytes) -> None:
        self._parts.append(data)
        self.size += len(data)
        self._wake()

    def finish(self) -> None:
        self._lost, self._client = self.lost, None
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
            if self.finished:
                self._lost = client.left
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


class Flights:
    """The answers that are kept in one place, under way and finished."""

    def __init__(self, most: int) -> None:
        """`most`: how many are kept that are finished."""
        self._most = most
        self._flights: list[Flight] = []

    def __iter__(self) -> Iterator[Flight]:
        return iter(self._flights)

    def __len__(self) -> int:
        return len(self._flights)

    def clear(self) -> None:
        self._flights.clear()

    def add(self, flight: Flight) -> None:
        self._flights.append(flight)

    def repeated(self, same: object, attempt: int, *, alone: bool, seen: bool = True) -> Flight | None:
        """The answer that a retry is to have; None: it is to be asked for. `attempt`: how often it was sent before.

        Others may ask the same at the same time. One that left without its answer comes back for it, and one that
        failed is asked again; only where there is neither may an answer be meant that seems to have arrived. `alone`:
        whoever asks has a session for itself. `seen`: what was sent before was sent here.
        """
        asked = [flight for flight in self._flights if flight.same == same and flight.attempt < attempt]
        known = next(
            (flight for flight in reversed(asked) if flight.lost and (flight.good or not flight.finished)), None
        )
        if known is None and (failed := next((f for f in asked if f.finished and not f.good), None)):
            self._flights.remove(failed)  # it is asked again once
            return None
        if known is None and (alone or seen):
            known = next((flight for flight in reversed(asked) if alone or flight.finished), None)
        if known is not None:
            known.attempt = attempt
        return known

    def prune(self) -> None:
        """Forget the oldest, and those that take too much room."""
        finished = [flight for flight in self._flights if flight.finished]
        room = _ROOM
        for number, flight in enumerate(reversed(finished), start=1):
            room -= flight.size
            if number > self._most or room < 0:
                self._flights.remove(flight)


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
