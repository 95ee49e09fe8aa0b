"""Streams that break off: before their beginning all is asked again, after their end nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import openai
import pytest
from aiohttp import web

from drawbar.proxy.settings import Settings

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam
    from tests.proxy.conftest import House, MakeHouse, Provider

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
ASK: Mapping[str, Any] = {"model": "m", "messages": HI, "stream": True}


def cut_after(provider: Provider, *events: bytes, tries: int = 99) -> None:
    """The connection breaks after these events; from try `tries` on, the whole stream comes."""

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if len(provider.raw) > tries:
            return await provider.streamed(request, *provider.STREAM, provider.DONE)
        response = await provider.streamed(request, *events)
        assert request.transport is not None
        request.transport.close()
        return response

    provider.answer = answer


@pytest.mark.parametrize("torn", [b"", b"data: [DO"])
async def test_an_answer_that_has_ended_is_whole_although_the_connection_breaks(
    house: House, provider: Provider, torn: bytes
) -> None:
    cut_after(provider, *provider.STREAM, *([torn] if torn else []))
    session = await house.session()
    async with house.openai(session) as client:
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
        said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert said == "hello"
    trajectory = await house.trajectory(session)
    (call,) = trajectory.calls
    assert (call.status, call.finish, trajectory.turns) == ("answered", "stop", 1)
    assert "missing_usage" in [finding.name for finding in trajectory.health]


async def test_an_answer_that_has_ended_does_not_wait_for_a_provider_that_says_no_more(
    serve: MakeHouse, provider: Provider
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await provider.streamed(request, *provider.STREAM)
        await asyncio.Event().wait()
        raise AssertionError

    provider.answer = answer
    async with serve(settings=Settings(afterwards=0.05)) as house:
        session = await house.session()
        body = await (await house.post(session, ASK)).read()
        assert body == b"".join(provider.STREAM)
        assert (await house.trajectory(session)).turns == 1
        await provider.left.wait()


async def test_a_stream_that_breaks_before_its_first_event_is_asked_for_again(house: House, provider: Provider) -> None:
    cut_after(provider, tries=2)
    session = await house.session()
    assert b"[DONE]" in await (await house.post(session, ASK)).read()
    (call,) = (await house.trajectory(session)).calls
    assert (call.status, call.attempts) == ("answered", 3)


async def test_a_stream_that_never_begins_is_an_error_with_a_status(house: House, provider: Provider) -> None:
    cut_after(provider)
    session = await house.session()
    async with house.openai(session) as client:
        with pytest.raises(openai.InternalServerError, match="broke off"):
            await client.chat.completions.create(model="m", messages=HI, stream=True)
    (call,) = (await house.trajectory(session)).calls
    assert (call.status, call.cause, call.http_status, call.attempts) == ("failed", "upstream_broken", 502, 3)


@pytest.mark.parametrize(("code", "requests"), [("503", 3), ("402", 1)])
async def test_a_stream_that_begins_with_an_error_is_that_error(
    house: House, provider: Provider, code: str, requests: int
) -> None:
    error = b'{"error":{"code":' + code.encode() + b',"message":"no luck"}}'

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await provider.streamed(request, b"data: " + error + b"\n\n")

    provider.answer = answer
    session = await house.session()
    response = await house.post(session, ASK)
    assert (response.status, response.content_type, await response.read()) == (int(code), "application/json", error)
    (call,) = (await house.trajectory(session)).calls
    assert (call.attempts, call.error) == (requests, "no luck")


async def test_an_answer_without_end_is_given_up(
    house: House, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drawbar.proxy.http.LARGEST_ANSWER", 10_000)

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if not body.get("stream"):
            return web.Response(body=b"x" * 10_001, content_type="application/json")
        return await provider.streamed(request, provider.STREAM[0], *[provider.chunk({"content": "x" * 500})] * 20)

    provider.answer = answer
    session = await house.session()
    assert b"more than 10,000 bytes" in await (await house.post(session, ASK)).read()
    response = await house.post(session, {**ASK, "stream": False})
    assert (response.status, "more than 10,000 bytes" in await response.text()) == (502, True)
    assert [call.cause for call in (await house.trajectory(session)).calls] == ["upstream_broken"] * 2
