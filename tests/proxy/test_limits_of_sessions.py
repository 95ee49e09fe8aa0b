"""Limits: a clean stop that the agent is told and the record keeps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from drawbar.task import Limits

if TYPE_CHECKING:
    from tests.proxy.conftest import House, Provider

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("limits", "cause"),
    [
        (Limits(turns=2), "limit_turns"),
        (Limits(tokens=30), "limit_tokens"),
        (Limits(cost=0.5), "limit_cost"),
    ],
)
async def test_a_session_stops_at_its_limit(house: House, provider: Provider, limits: Limits, cause: str) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.25}
        return web.json_response(provider.completion(usage=usage))

    provider.answer = answer
    session = await house.session(limits=limits)
    assert [(await house.post(session, ASK)).status for _ in range(2)] == [200, 200]
    before = session.stop
    response = await house.post(session, ASK)
    error = (await response.json())["error"]
    assert (response.status, error["code"], response.headers["x-should-retry"]) == (409, cause, "false")
    assert cause in error["message"]
    assert (await house.post(session, ASK)).status == 409
    assert (before, session.stop) == (None, cause)
    trajectory = await house.trajectory(session)
    assert [(call.status, call.cause, call.http_status) for call in trajectory.calls] == [
        ("answered", None, 200), ("answered", None, 200), ("refused", cause, 409),
    ]  # fmt: skip
    assert (trajectory.turns, len(provider.raw)) == (2, 2)


async def test_the_limit_is_why_the_session_ended_whatever_the_harness_says(house: House) -> None:
    session = await house.session(limits=Limits(turns=1))
    await house.post(session, ASK)
    await house.post(session, ASK)
    await house.gateway.end(session.id, stop="agent_failed", error="got a 409")
    trajectory = await house.trajectory(session)
    assert (trajectory.stop, trajectory.error) == ("limit_turns", "got a 409")


async def test_a_session_that_ends_on_its_last_turn_did_not_hit_the_limit(house: House) -> None:
    session = await house.session(limits=Limits(turns=1))
    await house.post(session, ASK)
    await house.gateway.end(session.id, stop="completed")
    assert (await house.trajectory(session)).stop == "completed"


async def test_calls_at_the_same_time_do_not_pass_the_limit_together(house: House) -> None:
    session = await house.session(limits=Limits(turns=3))
    answers = await asyncio.gather(*(house.post(session, ASK) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] * 3 + [409] * 7


async def test_a_call_is_cut_when_the_sessions_time_is_up(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    provider.answer = answer
    session = await house.session(limits=Limits(seconds=0.1))
    response = await house.post(session, ASK)
    assert (response.status, (await response.json())["error"]["code"]) == (409, "limit_time")
    assert (await house.post(session, ASK)).status == 409
    assert len(provider.raw) == 1
    (call,) = (await house.trajectory(session)).calls
    assert (call.status, call.cause, session.stop) == ("failed", "limit_time", "limit_time")


async def test_a_limit_that_cannot_see_what_is_spent_says_so_once(
    house: House, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion(usage=None))

    provider.answer = answer
    session = await house.session(limits=Limits(tokens=9, cost=0.5))
    for _ in range(2):
        await house.post(session, {**ASK, "model": "blind"})
    said = [record.getMessage() for record in caplog.records if "custom/blind" in record.getMessage()]
    assert [message.split()[3] for message in said] == ["cost", "tokens"]
