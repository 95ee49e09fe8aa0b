"""What holds for agents of every dialect before a provider of the same one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from drawbar.proxy.settings import Settings
from drawbar.record.rows import Row
from drawbar.wire import DIALECTS

if TYPE_CHECKING:
    from tests.proxy.dialects.conftest import Native, Talk


@pytest.mark.parametrize("stream", [False, True])
async def test_an_exchange_passes_byte_for_byte_and_is_recorded_whole(talk: Talk, stream: bool) -> None:
    session = await talk.house.session()
    response = await talk.ask(session, stream=stream)
    whole = b"".join(talk.native.stream) if stream else json.dumps(talk.native.answer).encode()
    assert (response.status, await response.read()) == (200, whole)
    assert response.content_type == (talk.native.media_type if stream else "application/json")
    path, body = talk.native.asked(stream=stream)
    assert (talk.provider.raw[0], str(talk.provider.requests[0].rel_url)) == (json.dumps(body).encode(), path)
    trajectory = await talk.house.trajectory(session)
    (call,) = trajectory.calls
    assert (call.dialect, call.model, call.status, call.streamed) == (talk.native.dialect, "m", "answered", stream)
    assert (call.finish, call.prompt_tokens, call.completion_tokens) == (talk.native.finish, 10, 5)
    assert [message.text for message in trajectory.messages] == ["hi", "hello"]
    assert trajectory.health == []


async def test_a_streams_end_waits_until_the_turn_is_durable(talk: Talk) -> None:
    written, go_on = asyncio.Event(), asyncio.Event()
    commit = talk.house.gateway.recorder.commit

    async def held(*rows: Row) -> None:
        await commit(*rows)
        written.set()
        await go_on.wait()

    session = await talk.house.session()
    talk.house.gateway.recorder.commit = held  # type: ignore[method-assign]
    response = await talk.ask(session, stream=True, read=False)
    await written.wait()
    before = b"".join(talk.native.stream[: talk.native.ends])
    assert await response.content.readexactly(len(before)) == before
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(response.content.readany(), 0.05)
    go_on.set()
    assert await response.content.read() == b"".join(talk.native.stream[talk.native.ends :])


async def test_the_sessions_model_is_asked_whatever_the_agent_names(talk: Talk) -> None:
    session = await talk.house.session(model="other")
    assert (await talk.ask(session)).status == 200
    path, body = talk.native.asked(model="other")
    assert (json.loads(talk.provider.raw[0]), str(talk.provider.requests[0].rel_url)) == (body, path)
    (call,) = (await talk.house.trajectory(session)).calls
    assert (call.model, call.upstream) == ("m", "custom/other")


async def test_sampling_is_set_where_the_dialect_has_it(talk: Talk) -> None:
    session = await talk.house.session(sampling={"temperature": 0.25})
    assert (await talk.ask(session)).status == 200
    body = talk.provider.bodies[0]
    assert (body.get("generationConfig") or body)["temperature"] == 0.25


async def test_the_provider_gets_its_own_key_in_its_own_way_and_never_the_clients(talk: Talk) -> None:
    session = await talk.house.session()
    await talk.ask(session)
    headers = talk.provider.requests[0].headers
    assert headers[talk.native.key_header].removeprefix("Bearer ") == "sk-provider-secret"
    assert session.key not in str(talk.provider.requests[0].rel_url) + str(headers) + talk.provider.raw[0].decode()


async def test_an_agent_below_a_sessions_url_needs_no_key(talk: Talk) -> None:
    session = await talk.house.session()
    path, _ = talk.native.asked()
    response = await talk.ask(None, path=f"/s/{session.key}{path}", headers=talk.native.key("sk-whatever"))
    assert response.status == 200
    assert (await talk.house.trajectory(session)).turns == 1
    assert session.key.encode() not in b"".join(file.read_bytes() for file in talk.house.store_files())


async def test_an_ended_session_is_a_native_409(talk: Talk) -> None:
    session = await talk.house.session()
    await talk.house.gateway.end(session.id, stop="completed")
    response = await talk.ask(session)
    said = (talk.native.error_kinds[409], "This session has ended (completed).")
    assert (response.status, talk.native.error(await response.read())) == (409, said)


async def test_an_unknown_key_is_a_native_401_that_does_not_repeat_it(talk: Talk) -> None:
    response = await talk.ask(headers=talk.native.key("dbk_0123456789"))
    kind, _ = talk.native.error(await response.read())
    assert (response.status, kind) == (401, talk.native.error_kinds[401])
    assert "dbk_0123456789" not in await response.text()
    assert not talk.provider.raw


async def test_a_request_that_nobody_can_read_is_a_native_400_and_recorded(talk: Talk) -> None:
    session = await talk.house.session()
    response = await talk.ask(session, body=b'{"model": "m", ')
    kind, said = talk.native.error(await response.read())
    assert (response.status, kind) == (400, talk.native.error_kinds[400])
    assert "cannot be read" in said
    (call,) = (await talk.house.trajectory(session)).calls
    assert (call.status, call.cause) == ("refused", "bad_request")


async def test_a_providers_refusal_reaches_the_client_as_it_is(talk: Talk) -> None:
    async def refuse(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "not with me"}, "x": 1}, status=400)

    talk.provider.answer = refuse
    session = await talk.house.session()
    response = await talk.ask(session, stream=True)
    assert (response.status, await response.json()) == (400, {"error": {"message": "not with me"}, "x": 1})
    (call,) = (await talk.house.trajectory(session)).calls
    assert (call.status, call.error) == ("failed", "not with me")


async def test_a_provider_that_is_busy_is_asked_again(talk: Talk, answering: Callable[..., Any]) -> None:
    async def busy(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        talk.provider.answer = answering()
        return web.json_response({"error": {"message": "later"}}, status=429, headers={"retry-after-ms": "1"})

    talk.provider.answer = busy
    session = await talk.house.session()
    assert (await talk.ask(session)).status == 200
    (call,) = (await talk.house.trajectory(session)).calls
    assert (call.status, call.attempts) == ("answered", 2)


async def test_a_marked_retry_is_no_second_turn(talk: Talk) -> None:
    session = await talk.house.session()
    first = await talk.ask(session, stream=True, headers={"x-stainless-retry-count": "0"})
    again = await talk.ask(session, stream=True, headers={"x-stainless-retry-count": "1"})
    assert await again.read() == await first.read()
    assert (len(talk.provider.raw), (await talk.house.trajectory(session)).turns) == (1, 1)


async def test_a_stream_that_breaks_off_ends_in_a_native_error(talk: Talk, answering: Callable[..., Any]) -> None:
    pieces = talk.native.stream[: talk.native.half]
    talk.provider.answer = answering(*pieces)
    session = await talk.house.session()
    raw = await (await talk.ask(session, stream=True)).read()
    assert raw.startswith(b"".join(pieces))
    *before, last = talk.told(raw)
    if talk.native.dialect == "responses":  # the event that agents wait for follows the one at which SDKs raise
        assert json.loads(last)["type"] == "response.failed"
        last = before.pop()
    assert "ended before the answer did" in talk.native.error(last)[1]
    assert len(before) == talk.native.half
    (call,) = (await talk.house.trajectory(session)).calls
    assert (call.status, call.cause) == ("failed", "upstream_broken")
    assert call.message is not None
    assert call.message.text == "hel"


@pytest.mark.parametrize("settings", [Settings(patience=0.01, keepalive=0.01)])
async def test_a_slow_provider_that_does_not_stream_is_streamed_from_here(talk: Talk, native: Native) -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await go_on.wait()
        return web.json_response([native.answer] if native.media_type == "application/json" else native.answer)

    talk.provider.answer = answer
    session = await talk.house.session()
    response = await talk.ask(session, stream=True, read=False)
    assert response.content_type == native.media_type
    seen = b""
    while seen.count(native.keepalive) < 2:
        seen += await response.content.readany()
    go_on.set()
    told = talk.told(seen + await response.content.read())
    dialect = DIALECTS[native.dialect]
    assembler = dialect.assembler()
    for event in told:
        assembler.feed(event)
    assert (assembler.ended, assembler.error) == (True, None)
    whole = assembler.response()
    assert whole.message is not None
    assert (dialect.normal(whole.message).text, whole.finish) == ("hello", native.finish)


@pytest.mark.parametrize("settings", [Settings(patience=0.01)])
async def test_an_error_after_the_streams_head_is_an_event(talk: Talk) -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await go_on.wait()
        return web.json_response({"error": {"message": "no credit"}}, status=402)

    talk.provider.answer = answer
    response = await talk.ask(await talk.house.session(), stream=True, read=False)
    assert response.status == 200
    go_on.set()
    told = talk.told(await response.content.read())
    assert talk.native.error(told[0])[1] == "no credit"


@pytest.mark.parametrize("settings", [Settings(keepalive=0.02)])
async def test_a_silent_stream_is_kept_alive_between_its_events(talk: Talk) -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await talk.stream(request, *talk.native.stream[: talk.native.half])
        await go_on.wait()
        await response.write(b"".join(talk.native.stream[talk.native.half :]))
        return response

    talk.provider.answer = answer
    response = await talk.ask(await talk.house.session(), stream=True, read=False)
    begun = b"".join(talk.native.stream[: talk.native.half])
    assert await response.content.readexactly(len(begun)) == begun
    kept = await response.content.readexactly(2 * len(talk.native.keepalive))
    assert kept == 2 * talk.native.keepalive
    go_on.set()
    rest = await response.content.read()
    assert talk.told(begun + kept + rest) == talk.told(b"".join(talk.native.stream))
