"""`chat`: one question, one answer, no tools; and so on with a user who has more to say."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import anyio

from drawbar.harness import Assignment, Outcome
from drawbar_harnesses.connection import REASONING, REPLAYED, Stopped, ask, connected, next_from_user, replayed


class ChatHarness:
    """No options."""

    name = "chat"
    asks_user = True

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
                    await _talk(self._shared, assignment)
                else:
                    async with connected() as client:
                        await _talk(client, assignment)
            except Stopped as stop:
                return Outcome(stop.cause, stop.error)
            return Outcome()
        return Outcome("limit_time", f"The task's {assignment.limits.seconds} s were over.")


async def _talk(client: aiohttp.ClientSession, assignment: Assignment) -> None:
    messages: list[Any] = list(assignment.messages)
    replied = 0
    while True:
        reply = await ask(client, assignment, messages, None)
        said = await next_from_user(client, assignment, replied)
        if said is None:
            return
        messages += [replayed(reply, REPLAYED | REASONING), said]
        replied += 1
