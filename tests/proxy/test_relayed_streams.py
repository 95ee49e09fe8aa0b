"""Streams through the gateway: event by event, kept alive, and ended only when the turn is durable."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import openai
import pytest
from aiohttp import web

from drawbar.proxy.settings import Settings
from drawbar.record.rows import Row

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam
    from tests.proxy.conftest import House, MakeHouse, Provider

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
ASK: Mapping[str, Any] = {"model": "m", "messages": HI, "stream": True}


async def test_an_sdk_reads_the_stream_and_the_record_has_it_whole(house: House, provider: Provider) -> None:
    session = await house.session()
    async with house.openai(session) as client:
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello"
    assert chunks[-1].choices[0].finish_reason == "stop"
    (call,) = (await house.trajectory(session)).calls
    assert (call.status, call.streamed, call.finish, call.prompt_tokens, call.completion_tokens) == (
        "answered", True, "stop", 10, 5,
    )  # fmt: skip
    assert call.message is not None
    assert call.message.text == "hello"


async def test_token_counts_are_asked_for_and_taken_out_again(house: House, provider: Provider) -> None:
    response = await house.post(await house.session(), ASK)
    assert await response.read() == b"".join([*provider.STREAM, provider.DONE])
    assert provider.bodies[0]["stream_options"] == {"include_usage": True}


async def test_token_counts_that_the_client_asked_for_reach_it(house: House, provider: Provider) -> None:
    response = await house.post(await house.session(), {**ASK, "stream_options": {"include_usage": True}})
    assert await response.read() == b"".join([*provider.STREAM, provider.USAGE, provider.DONE])


async def test_events_come_as_they_arrive_and_the_end_waits_for_the_record(house: House, provider: Provider) -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await provider.streamed(request, *provider.STREAM[:2])
        await go_on.wait()
        for event in [*provider.STREAM[2:], provider.DONE]:
            await response.write(event)
        return response

    provider.answer = answer
    order: list[str] = []
    commit = house.gateway.recorder.commit

    async def slow_commit(*rows: Row) -> None:
        await commit(*rows)
        order.append("durable")

    session = await house.session()
    house.gateway.recorder.commit = slow_commit  # type: ignore[method-assign]
    response = await house.post(session, ASK, read=False)
    seen = b""
    while provider.STREAM[1] not in seen:
        seen += await response.content.readany()
    go_on.set()
    async for data in response.content:
        if b'"finish_reason": "stop"' in data or b"[DONE]" in data:
            order.append(data.decode()[:12])
    assert order[0] == "durable"
    assert len(order) == 3


async def test_a_silent_stream_is_kept_alive(serve: MakeHouse, provider: Provider) -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await provider.streamed(request, provider.STREAM[0])
        await go_on.wait()
        await response.write(b"".join([*provider.STREAM[1:], provider.DONE]))
        return response

    provider.answer = answer
    async with serve(settings=Settings(keepalive=0.02)) as house:
        response = await house.post(await house.session(), ASK, read=False)
        seen = b""
        while seen.count(b": keepalive\n\n") < 3:
            seen += await response.content.readany()
        go_on.set()
        seen += await response.content.read()
    assert seen.replace(b": keepalive\n\n", b"") == b"".join([*provider.STREAM, provider.DONE])


async def test_a_stream_begins_though_the_upstream_takes_long_to_speak(serve: MakeHouse, provider: Provider) -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await go_on.wait()
        return await provider.streamed(request, *provider.STREAM, provider.DONE)

    provider.answer = answer
    async with serve(settings=Settings(keepalive=0.01, patience=0.03)) as house:
        response = await house.post(await house.session(), ASK, read=False)
        assert response.content_type == "text/event-stream"
        assert await response.content.readany() == b": keepalive\n\n"
        go_on.set()
        assert (await response.content.read()).endswith(provider.DONE)


async def test_an_error_after_the_stream_began_comes_as_an_event(serve: MakeHouse, provider: Provider) -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await go_on.wait()
        return web.json_response({"error": {"message": "too bad"}}, status=400)

    provider.answer = answer
    async with serve(settings=Settings(keepalive=0.01, patience=0.02)) as house:
        session = await house.session()
        async with house.openai(session) as client:
            stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
            go_on.set()
            with pytest.raises(openai.APIError, match="too bad"):
                await anext(stream)
        (call,) = (await house.trajectory(session)).calls
        assert (call.status, call.http_status, call.cause) == ("failed", 400, "upstream_rejected")


async def test_a_stream_that_breaks_off_breaks_off_for_the_client_and_leaves_what_was_seen(
    house: House, provider: Provider
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await provider.streamed(request, *provider.STREAM[:2])
        assert request.transport is not None
        request.transport.close()
        return response

    provider.answer = answer
    session = await house.session()
    async with house.openai(session) as client:
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
        said = [(await anext(stream)).choices[0].delta.content, (await anext(stream)).choices[0].delta.content]
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            await anext(stream)
    assert said == ["", "hel"]
    trajectory = await house.trajectory(session)
    (call,) = trajectory.calls
    assert (call.status, call.cause, call.finish, trajectory.turns) == ("failed", "upstream_broken", None, 0)
    assert call.message is not None
    assert call.message.text == "hel"


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([b'data: {"error":{"message":"overloaded"}}\n\n'], "overloaded"),
        ([b"data: {broken\n\n"], "cannot be read"),
        ([], "ended before the answer did"),
    ],
)
async def test_a_stream_that_goes_wrong_is_no_turn(
    house: House, provider: Provider, events: list[bytes], said: str
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await provider.streamed(request, provider.STREAM[1], *events)

    provider.answer = answer
    session = await house.session()
    body = await (await house.post(session, ASK)).read()
    assert body.startswith(provider.STREAM[1] + b"".join(events))
    assert b"[DONE]" not in body
    trajectory = await house.trajectory(session)
    (call,) = trajectory.calls
    assert (call.status, call.cause, trajectory.turns) == ("failed", "upstream_broken", 0)
    assert said in (call.error or "")


async def test_a_client_that_leaves_mid_stream_leaves_what_was_seen(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await provider.streamed(request, *provider.STREAM[:2])
        await asyncio.Event().wait()
        raise AssertionError

    provider.answer = answer
    session = await house.session()
    async with aiohttp.ClientSession() as http:
        response = await http.post(
            f"{house.url}/s/{session.key}/v1/chat/completions", json={"model": "m", "messages": HI, "stream": True}
        )
        await response.content.readany()
        response.close()
    await provider.left.wait()
    await session.idle.wait()
    trajectory = await house.trajectory(session)
    (call,) = trajectory.calls
    assert (call.status, call.cause, call.http_status, trajectory.turns) == ("abandoned", "client_left", None, 0)
    assert call.message is not None
    assert call.message.text == "hel"


async def test_a_client_that_leaves_before_any_answer_is_recorded_too(house: House, provider: Provider) -> None:
    asked = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    provider.answer = answer
    session = await house.session()
    task = asyncio.create_task(house.post(session, {"model": "m", "messages": HI}))
    await asked.wait()
    task.cancel()
    await provider.left.wait()
    await session.idle.wait()
    (call,) = (await house.trajectory(session)).calls
    assert (call.status, call.cause, call.message) == ("abandoned", "client_left", None)


async def test_a_client_that_leaves_in_the_middle_of_its_request_is_recorded(house: House) -> None:
    session = await house.session()
    posted = asyncio.Event()
    post = house.gateway.recorder.post

    async def noted(*rows: Row) -> None:
        await post(*rows)
        posted.set()

    house.gateway.recorder.post = noted  # type: ignore[method-assign]
    _, writer = await asyncio.open_connection("127.0.0.1", int(house.url.rpartition(":")[2]))
    head = f"POST /s/{session.key}/v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"model":')
    await writer.drain()
    writer.close()
    await posted.wait()
    (call,) = (await house.trajectory(session)).calls
    assert (call.status, call.cause) == ("abandoned", "client_left")


async def test_an_upstream_that_does_not_stream_is_passed_on_as_it_is(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion())

    provider.answer = answer
    session = await house.session()
    response = await house.post(session, ASK)
    assert json.loads(await response.read()) == provider.completion()
    assert (await house.trajectory(session)).completion == "hello"


async def test_a_long_stream_goes_through_whatever_its_size(house: House, provider: Provider) -> None:
    words = [provider.chunk({"content": f"{n} " * 400}) for n in range(500)]

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await provider.streamed(request, *words, provider.STREAM[-1], provider.DONE)

    provider.answer = answer
    session = await house.session()
    body = await (await house.post(session, ASK)).read()
    assert body == b"".join([*words, provider.STREAM[-1], provider.DONE])
    assert (await house.trajectory(session)).completion.startswith("0 0 0 ")
