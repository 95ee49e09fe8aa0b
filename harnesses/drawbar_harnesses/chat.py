"""`chat`: one question, one answer, no tools."""

from __future__ import annotations

from contextlib import AsyncExitStack

import aiohttp
import anyio

from drawbar.harness import Assignment, Outcome
from drawbar_harnesses.connection import Stopped, ask, connected


class ChatHarness:
    """No options."""

    name = "chat"

    def __init__(self) -> None:
        self._shared: aiohttp.ClientSession | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> ChatHarness:
        self._shared = await self._stack.enter_async_context(connected())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._shared = None
        await self._stack.aclose()

    async def run(self, assignment: Assignment, /) -> Outcome:
        with anyio.move_on_after(assignment.limits.seconds):
            try:
                if self._shared is not None:
                    await ask(self._shared, assignment, assignment.messages, None)
                else:
                    async with connected() as client:
                        await ask(client, assignment, assignment.messages, None)
            except Stopped as stop:
                return Outcome(stop.cause, stop.error)
            return Outcome()
        return Outcome("limit_time", f"The task's {assignment.limits.seconds} s were over.")
