"""What one session has at the tool side: its tools, servers of its own, and its calls under way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from drawbar.tools.calls import Cancellation
from drawbar.tools.pool import close_all
from drawbar.tools.toolset import Member, Toolset

_LEAVING = 5.0
"""Seconds that the calls of a session which is closed have to end."""


@dataclass(slots=True)
class Seat:
    """One session's place at the tool side."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    toolset: Toolset | None = None
    own: Sequence[Member] = ()
    running: dict[int | str, list[Cancellation]] = field(default_factory=dict)
    """Calls under way, by the request ids that clients gave them."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing runs."""
    closed: bool = False
    client: str | None = None
    """What the session's last client of the handshake era calls itself."""

    def __post_init__(self) -> None:
        self.idle.set()

    def begin(self, id: int | str) -> Cancellation:
        """A call begins; the way to end it early."""
        stop = Cancellation()
        self.running.setdefault(id, []).append(stop)
        self.idle.clear()
        return stop

    def end(self, id: int | str, stop: Cancellation) -> None:
        """A call has ended, and is recorded."""
        same = self.running[id]
        same.remove(stop)
        if not same:
            del self.running[id]
        if not self.running:
            self.idle.set()

    async def vacate(self) -> None:
        """Cancel what runs, wait until it is recorded, and close the session's own servers."""
        for running in list(self.running.values()):
            for stop in running:
                stop.cancel("cancelled")
        with anyio.move_on_after(_LEAVING):
            await self.idle.wait()
        async with self.lock:
            self.closed = True
            await close_all(self.own)
