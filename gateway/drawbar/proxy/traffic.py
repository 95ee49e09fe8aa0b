"""What is under way: the requests of a gateway that is to stop, and those that use models that were replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drawbar.proxy.client import Client
    from drawbar.proxy.models import Models


class Traffic:
    """Counts requests, and refuses them once the gateway stops."""

    def __init__(self) -> None:
        self.under_way = 0
        self._until: float | None = None
        self._none = asyncio.Event()
        self._none.set()

    @property
    def refusing(self) -> float | None:
        """Seconds after which the gateway is gone; None: it serves."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def refuse(self, limit: float) -> None:
        """From now on, nothing new is begun."""
        self._until = time.monotonic() + limit

    async def ended(self) -> None:
        """Wait until nothing is under way."""
        await self._none.wait()

    @contextmanager
    def counted(self, client: Client) -> Iterator[None]:
        """While this runs, a request is under way; not one that listens until its client leaves."""
        if client.scope["method"] == "GET" or client.headers.get(b"mcp-method") == b"subscriptions/listen":
            yield
            return
        self.under_way += 1
        self._none.clear()
        try:
            yield
        finally:
            self.under_way -= 1
            if not self.under_way:
                self._none.set()


class Use:
    """Models, and how many requests use them: when others have replaced them, the last one closes their clients."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.closed = False
        self._users = 0
        self._retired = False
        self._closing: asyncio.Task[None] | None = None

    @contextmanager
    def counted(self) -> Iterator[None]:
        """While this runs, somebody uses them."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._close_if_done()

    def retire(self) -> None:
        """Others have replaced them."""
        self._retired = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and not self._users and self._closing is None:
            self._closing = asyncio.create_task(self._close())

    async def _close(self) -> None:
        await self.models.aclose()
        self.closed = True
