"""Requests that an SDK marks as retries: they get the answer of the call that they repeat, and are no second turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from drawbar.proxy.client import Client
from drawbar.proxy.flight import Flight
from drawbar.proxy.relay import Relay
from drawbar.proxy.settings import Settings

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

HI = [{"role": "user", "content": "hi"}]
FIRST, AGAIN = {"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_retry_of_an_answered_request_gets_the_recorded_answer(
    house: House, provider: Provider, stream: bool
) -> None:
    session = await house.session()
    ask = {"model": "m", "messages": HI, "stream": stream}
    first = await (await house.post(session, ask, headers=FIRST)).read()
    again = await house.post(session, ask, headers=AGAIN)
    assert (again.status, await again.read()) == (200, first)
    assert again.content_type == ("text/event-stream" if stream else "application/json")
    assert (len(provider.raw), (await house.trajectory(session)).turns) == (1, 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_retry_joins_the_call_in_flight(
    house: House, provider: Provider, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        if not stream:
            await go_on.wait()
            return web.json_response(provider.completion())
        response = await provider.streamed(request, *provider.STREAM[:2])
        await go_on.wait()
        for event in [*provider.STREAM[2:], provider.DONE]:
            await response.write(event)
        return response

    provider.answer = answer
    session = await house.session()
    ask = {"model": "m", "messages": HI, "stream": stream}
    first = asyncio.create_task(house.post(session, ask, headers=FIRST))
    await asked.wait()
    follow, joined = Flight.follow, asyncio.Event()

    async def noted(self: Flight, client: Client) -> None:
        joined.set()
        await follow(self, client)

    monkeypatch.setattr(Flight, "follow", noted)
    again = asyncio.create_task(house.post(session, ask, headers=AGAIN))
    await joined.wait()
    go_on.set()
    bodies = [await (await task).read() for task in (first, again)]
    assert bodies[0] == bodies[1]
    assert (len(provider.raw), (await house.trajectory(session)).turns) == (1, 1)


async def test_a_call_whose_client_gave_up_is_taken_up_by_its_retry(
    house: House, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on, noticed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(Relay, "client_left", lambda relay: noticed.set())

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await go_on.wait()
        return web.json_response(provider.completion())

    provider.answer = answer
    session = await house.session()
    ask = {"model": "m", "messages": HI}
    async with aiohttp.ClientSession() as http:
        headers = {**FIRST, "authorization": f"Bearer {session.key}"}
        first = asyncio.create_task(http.post(house.url + "/v1/chat/completions", json=ask, headers=headers))
        await asked.wait()
        first.cancel()
    await noticed.wait()
    go_on.set()
    await session.idle.wait()
    abandoned = (await house.trajectory(session)).calls[0]
    again = await house.post(session, ask, headers=AGAIN)
    assert again.status == 200
    trajectory = await house.trajectory(session)
    (call,) = trajectory.calls
    assert (call.status, call.cause, trajectory.turns, len(provider.raw)) == ("answered", None, 1, 1)
    assert (abandoned.id, abandoned.status) == (call.id, "abandoned")


async def test_a_client_that_does_not_come_back_in_time_is_not_waited_for(serve: MakeHouse, provider: Provider) -> None:
    asked = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    provider.answer = answer
    async with serve(settings=Settings(retry_grace=0.01)) as house:
        session = await house.session()
        task = asyncio.create_task(house.post(session, {"model": "m", "messages": HI}, headers=FIRST))
        await asked.wait()
        task.cancel()
        await provider.left.wait()
        await session.idle.wait()
        (call,) = (await house.trajectory(session)).calls
        assert (call.status, call.cause) == ("abandoned", "client_left")


async def test_what_failed_is_asked_again(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if len(provider.raw) == 1:
            return web.json_response({"error": {"message": "bad day"}}, status=400)
        return web.json_response(provider.completion())

    provider.answer = answer
    session = await house.session()
    ask = {"model": "m", "messages": HI}
    assert (await house.post(session, ask, headers=FIRST)).status == 400
    assert (await house.post(session, ask, headers=AGAIN)).status == 200
    assert [call.status for call in (await house.trajectory(session)).calls] == ["failed", "answered"]


async def test_only_the_same_body_marked_as_a_retry_is_one(house: House, provider: Provider) -> None:
    session, other = await house.session(), await house.session()
    ask = {"model": "m", "messages": HI}
    await house.post(session, ask, headers=FIRST)
    await house.post(session, ask, headers=FIRST)
    await house.post(session, ask)
    await house.post(session, {**ask, "n": 1}, headers=AGAIN)
    await house.post(other, ask, headers=AGAIN)
    assert len(provider.raw) == 5


async def test_a_session_keeps_few_answers_for_retries(house: House) -> None:
    session = await house.session()
    for number in range(20):
        await (await house.post(session, {"model": "m", "messages": HI, "seed": number}, headers=FIRST)).read()
    assert len(session.flights) < 8


async def test_when_the_last_one_who_waits_has_left_nobody_is_waited_for(serve: MakeHouse, provider: Provider) -> None:
    asked = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    provider.answer = answer
    async with serve(settings=Settings(retry_grace=0.2)) as house:
        session = await house.session()
        ask = {"model": "m", "messages": HI}
        first = asyncio.create_task(house.post(session, ask, headers=FIRST))
        await asked.wait()
        (flight,) = session.flights
        again = asyncio.create_task(house.post(session, ask, headers=AGAIN))
        while not flight.followers:  # noqa: ASYNC110 -- nothing else says that it has joined
            await asyncio.sleep(0)
        first.cancel()
        again.cancel()
        await provider.left.wait()
        await session.idle.wait()
        assert len(provider.raw) == 1
        assert [call.cause for call in (await house.trajectory(session)).calls] == ["client_left"]


async def test_an_answer_is_kept_without_the_conversation_that_it_answers(house: House) -> None:
    session = await house.session()
    await house.post(session, {"model": "m", "messages": HI}, headers=FIRST)
    (flight,) = session.flights
    assert flight.call.request is None
    await house.gateway.end(session.id, stop="completed")
    assert not session.flights


async def test_a_retry_without_a_session_gets_the_answer_of_its_own_client_alone(
    house: House, provider: Provider
) -> None:
    ask = {"model": "m", "messages": HI}
    mine, other = {"authorization": "Bearer mine"}, {"authorization": "Bearer other"}
    first = await (await house.post(None, ask, headers={**FIRST, **mine})).read()
    again = await (await house.post(None, ask, headers={**AGAIN, **mine})).read()
    assert (first, len(provider.raw)) == (again, 1)
    await house.post(None, ask, headers={**AGAIN, **other})
    assert len(provider.raw) == 2
    await house.gateway.recorder.commit()
    assert len(house.gateway.store.sessions()) == 2


async def test_the_answers_that_are_kept_are_bounded_by_their_size(
    house: House, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drawbar.proxy.flight._ROOM", 1000)

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion("x" * 600))

    provider.answer = answer
    session = await house.session()
    for number in range(3):
        await house.post(session, {"model": "m", "messages": HI, "seed": number}, headers=FIRST)
    assert len(session.flights) == 1
