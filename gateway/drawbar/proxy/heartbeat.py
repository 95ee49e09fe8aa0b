"""Signs of life in a stream: a keepalive when nothing came for a while, a head when an upstream is slow to speak."""

from __future__ import annotations

import asyncio
from typing import Final

from drawbar.proxy.flight import Outlet
from drawbar.proxy.settings import Settings
from drawbar.wire.framing import Framing

_NOT_KEPT: Final = (b"cache-control", b"no-cache")


class Heartbeat:
    """One timer for a whole stream: it looks now and then when something was last written."""

    def __init__(self, outlet: Outlet, settings: Settings, framing: Framing) -> None:
        self._loop = asyncio.get_running_loop()
        self._outlet = outlet
        self._settings = settings
        self._framing = framing
        self._began = self._loop.time()
        self._timer = self._loop.call_later(min(settings.keepalive, settings.patience), self._tick)
        self._task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """No sign from now on: the answer's end follows."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        outlet, settings = self._outlet, self._settings
        due = outlet.last_write + settings.keepalive if outlet.started else self._began + settings.patience
        if due <= now:
            self._task = self._loop.create_task(self._beat())
            due = now + settings.keepalive
        self._timer = self._loop.call_at(due, self._tick)

    async def _beat(self) -> None:
        if not self._outlet.started:
            await self._outlet.start(200, [(b"content-type", self._framing.media_type), _NOT_KEPT])
        await self._outlet.keepalive(self._framing.keepalive)
