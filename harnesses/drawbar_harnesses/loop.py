"""`loop`: our own tool-calling loop. Ask the model, run the tools that it calls, show it the results, and again."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import anyio
import orjson

from drawbar.harness import Assignment, Outcome
from drawbar_harnesses.connection import (
    REASONING,
    REPLAYED,
    RequestedCall,
    Stopped,
    ask,
    connected,
    next_from_user,
    replayed,
)
from drawbar_harnesses.tools import Tools, offered


class LoopHarness:
    """Options:

    `parallel` (true): tool calls of one reply run at the same time, their results in the order of the calls.
    `replay_reasoning` (true): what the model thought goes back to it with its reply, as models that think between tool
    calls want it.
    """

    name = "loop"
    asks_user = True

    def __init__(self, *, parallel: bool = True, replay_reasoning: bool = True) -> None:
        self._parallel = parallel
        self._replayed = REPLAYED | REASONING if replay_reasoning else REPLAYED
        self._shared: aiohttp.ClientSession | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> LoopHarness:
        self._shared = await self._stack.enter_async_context(connected())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._shared = None
        await self._stack.aclose()

    async def run(self, assignment: Assignment, /) -> Outcome:
        with anyio.move_on_after(assignment.limits.seconds):
            try:
                if self._shared is not None:
                    return await self._work(self._shared, assignment)
                async with connected() as client:
                    return await self._work(client, assignment)
            except Stopped as stop:
                return Outcome(stop.cause, stop.error)
        return Outcome("limit_time", f"The task's {assignment.limits.seconds} s were over.")

    async def _work(self, client: aiohttp.ClientSession, assignment: Assignment) -> Outcome:
        tools = Tools(client, assignment.mcp_url, assignment.key)
        definitions = await tools.list()
        names, schemas = [tool["name"] for tool in definitions], offered(definitions)
        messages: list[Any] = list(assignment.messages)
        replied = 0
        while True:
            reply = await ask(client, assignment, messages, schemas)
            messages.append(replayed(reply, self._replayed))
            if reply.message.tool_calls:
                messages += await self._results(tools, names, reply.message.tool_calls)
            elif (said := await next_from_user(client, assignment, replied)) is not None:
                messages.append(said)
                replied += 1
            else:
                return Outcome()

    async def _results(self, tools: Tools, names: Sequence[str], calls: Sequence[RequestedCall]) -> list[Any]:
        if self._parallel and len(calls) > 1:
            texts = await _together(tools, names, calls)
        else:
            texts = [await _result(tools, names, call) for call in calls]
        return [
            {"role": "tool", "tool_call_id": call.id, "content": text} for call, text in zip(calls, texts, strict=True)
        ]


async def _together(tools: Tools, names: Sequence[str], calls: Sequence[RequestedCall]) -> list[str]:
    """All at once; when one says that the rollout must end, the others are cancelled."""
    tasks = [asyncio.ensure_future(_result(tools, names, call)) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _result(tools: Tools, names: Sequence[str], call: RequestedCall) -> str:
    """What the model is told of one of its calls. What it got wrong is told, too, so that it can do better."""
    name = call.function.name
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(names) or 'none'}."
        return f"Error: there is no tool named {name!r}.{hint}"
    try:
        arguments = _arguments(call.function.arguments)
    except ValueError as error:
        return f"Error: the arguments of {name} must be one JSON object: {error}"
    return await tools.call(name, arguments, call.id)


def _arguments(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str):
        given = orjson.loads(given) if given.strip() else {}
    if not isinstance(given, dict):
        raise ValueError(f"this is {type(given).__name__}, not an object")
    return given
