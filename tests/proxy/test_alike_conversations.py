"""Conversations of one client that are alike to the word, at the same time: what keeps them apart when one fails."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from drawbar.proxy.settings import Settings

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

    from drawbar.trajectory import Trajectory

Message = dict[str, Any]
OPENING: list[Message] = [{"role": "user", "content": "Where is my parcel?"}]
FIRST, AGAIN = {"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"}


@pytest.fixture(autouse=True)
def alike(provider: Provider) -> None:
    """Every answer is the same."""

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion("Which order?"))

    provider.answer = answer


async def ask(house: House, messages: list[Message], **headers: str) -> tuple[int, list[Message]]:
    """The status, and the conversation with its answer."""
    response = await house.post(None, {"model": "m", "messages": messages}, headers=headers)
    body = json.loads(await response.read())
    return response.status, [*messages, body["choices"][0]["message"]] if response.status == 200 else messages


async def turns(house: House) -> list[int]:
    return sorted(trajectory.turns for trajectory in await sessions(house))


async def sessions(house: House) -> list[Trajectory]:
    await house.gateway.recorder.commit()
    return [house.gateway.store.trajectory(row.id) for row in house.gateway.store.sessions()]


async def test_after_a_restart_each_goes_on_in_its_own_session(serve: MakeHouse) -> None:
    async with serve() as house:
        said = [(await ask(house, OPENING))[1] for _ in range(3)]
    async with serve() as house:
        for number, conversation in enumerate(said):
            await ask(house, [*conversation, {"role": "user", "content": f"order {number}"}])
        assert await turns(house) == [2, 2, 2]


async def test_a_retry_is_not_given_what_another_was_answered(house: House, provider: Provider) -> None:
    statuses = iter([400, 200, 200])

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion("Which order?"), status=next(statuses))

    provider.answer = answer
    assert (await ask(house, OPENING, **FIRST))[0] == 400
    assert (await ask(house, OPENING, **FIRST))[0] == 200  # somebody else
    assert (await ask(house, OPENING, **AGAIN))[0] == 200
    assert len(provider.raw) == 3
    assert sum(trajectory.turns for trajectory in await sessions(house)) == 2


async def test_what_failed_in_one_is_asked_again_in_that_one(house: House, provider: Provider) -> None:
    statuses = iter([200, 200, 400, 200, 200])

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion("Which order?"), status=next(statuses))

    provider.answer = answer
    one, other = [(await ask(house, OPENING))[1] for _ in range(2)]
    order: list[Message] = [{"role": "user", "content": "A-1001"}]
    assert (await ask(house, one + order))[0] == 400
    await ask(house, [*other, {"role": "user", "content": "A-1002"}])
    await ask(house, one + order)
    assert await turns(house) == [2, 2]
    failed = [s for s in await sessions(house) if any(call.status == "failed" for call in s.calls)]
    assert ["A-1001" in [m.text for m in session.messages] for session in failed] == [True]


async def test_a_stop_tool_that_the_model_did_not_get_to_call_ends_nothing(
    serve: MakeHouse, provider: Provider
) -> None:
    begun = [
        {"role": "assistant", "tool_calls": [{"index": 0, "id": "c", "function": {"name": "finish", "arguments": ""}}]},
    ]

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if len(provider.raw) > 1:
            return web.json_response(provider.completion("Good-bye."))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for delta in begun:
            chunk = {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    provider.answer = answer
    async with serve(settings=Settings(stop_tools=frozenset({"finish"}), stop_grace=0.0)) as house:
        with suppress(aiohttp.ClientPayloadError):
            await house.post(None, {"model": "m", "messages": OPENING, "stream": True})
        await ask(house, OPENING)
        (session,) = await sessions(house)
        assert ([call.status for call in session.calls], session.status) == (["failed", "answered"], "open")
