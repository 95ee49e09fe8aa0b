"""Sessions that want token ids: their providers are asked, the record has them, and their agents see none of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from drawbar.errors import ConfigurationError
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.proxy.spec_json import spec_from_json, spec_to_json
from drawbar.sessions import SessionSpec
from drawbar.testing import calls, serve_chat
from drawbar.testing.token_server import END, logprob, prompt_ids, token_ids

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam
    from tests.proxy.conftest import House, MakeHouse, Provider

    from drawbar.testing.chat_server import ChatServer
    from drawbar.trajectory import Trajectory

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
SAID = "The Moon does."
IDS = (*token_ids("The Moon does."), END)
SERVERS = ("vllm", "sglang", "llama_cpp")
WITH_PROMPT = ("vllm", "sglang")
MARKS = ("token_ids", "sglext", 'logprob"', "_ids")
"""What a client that asked for nothing must not see."""


@asynccontextmanager
async def speaking(
    serve: MakeHouse, kind: str, *lines: Any, **settings: Any
) -> AsyncIterator[tuple[House, ChatServer]]:
    """A gateway before a server of this kind."""
    async with serve_chat(list(lines) or [SAID], tokens=kind) as server:
        models = Models(base_url=server.base_url, tokens=kind)
        async with serve(models=models, settings=Settings(**settings)) as house:
            yield house, server


def findings(trajectory: Trajectory) -> dict[str, str]:
    return {finding.name: finding.detail for finding in trajectory.health}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_record_has_them_and_the_agent_does_not(serve: MakeHouse, kind: str, stream: bool) -> None:
    async with speaking(serve, kind) as (house, server):
        session = await house.session(token_ids=True)
        response = await house.post(session, {"model": "m", "messages": HI, "stream": stream})
        raw = await response.text()
        trajectory = await house.trajectory(session)
    (call,) = trajectory.calls
    assert call.tokens is not None
    assert call.tokens.token_ids == IDS
    assert call.tokens.logprobs == tuple(map(logprob, IDS))
    expected = tuple(prompt_ids({"messages": HI})) if kind in WITH_PROMPT else None
    assert call.tokens.prompt_token_ids == expected
    assert (trajectory.completion, findings(trajectory)) == (SAID, {})
    assert not [mark for mark in MARKS if mark in raw]
    asked = server.requests[0].body
    assert asked.get("logprobs") or asked.get("n_probs")


@pytest.mark.parametrize("kind", SERVERS)
async def test_the_agents_answer_is_as_if_nobody_had_asked(serve: MakeHouse, kind: str) -> None:
    body = {"model": "m", "messages": HI, "tools": [TOOL]}
    async with speaking(serve, kind, calls("look", word="tide")) as (house, _):
        plain, wanting = await house.session(), await house.session(token_ids=True)
        for stream in (False, True):
            texts = []
            for session in (plain, wanting):
                response = await house.post(session, {**body, "stream": stream})
                texts.append(await response.text())
            assert (
                texts[1].split("\n\n") == texts[0].split("\n\n")
                if stream
                else json.loads(texts[1]) == json.loads(texts[0])
            )


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_streamed_tool_call_has_its_tokens(serve: MakeHouse, kind: str) -> None:
    async with speaking(serve, kind, calls("look", word="tide")) as (house, _):
        session = await house.session(token_ids=True)
        await house.post(session, {"model": "m", "messages": HI, "tools": [TOOL], "stream": True})
        (call,) = (await house.trajectory(session)).calls
    assert call.tokens is not None
    assert call.tokens.token_ids == (*token_ids("look"), *token_ids('{"word":"tide"}'), END)


async def test_nobody_is_asked_where_nobody_wants_them(serve: MakeHouse) -> None:
    async with speaking(serve, "vllm") as (house, server):
        session = await house.session()
        await house.post(session, {"model": "m", "messages": HI})
        (call,) = (await house.trajectory(session)).calls
    assert server.requests[0].body.keys() == {"model", "messages"}
    assert call.tokens is None


async def test_a_gateway_can_want_them_for_every_session(serve: MakeHouse) -> None:
    async with speaking(serve, "vllm", token_ids=True) as (house, server):
        await house.post(None, {"model": "m", "messages": HI})
    assert server.requests[0].body["return_token_ids"] is True


async def test_an_agent_that_asks_for_log_probabilities_gets_those_alone(serve: MakeHouse) -> None:
    async with speaking(serve, "vllm") as (house, _):
        session = await house.session(token_ids=True)
        async with house.openai(session) as client:
            answer = await client.chat.completions.create(model="m", messages=HI, logprobs=True)
            stream = await client.chat.completions.create(model="m", messages=HI, logprobs=True, stream=True)
            chunks = [chunk async for chunk in stream]
        found = [call.tokens for call in (await house.trajectory(session)).calls]
    given = answer.choices[0].logprobs
    assert given is not None
    assert [entry.logprob for entry in given.content or ()] == list(map(logprob, IDS))
    assert "token_ids" not in answer.to_json() + "".join(chunk.to_json() for chunk in chunks)
    assert [tokens and tokens.token_ids for tokens in found] == [IDS, IDS]


async def test_a_response_has_its_log_probabilities_in_the_record_alone(serve: MakeHouse) -> None:
    async with speaking(serve, "vllm") as (house, server):
        session = await house.session(token_ids=True)
        async with house.openai(session) as client:
            whole = await client.responses.create(model="m", input="hi")
            events = [event async for event in await client.responses.create(model="m", input="hi", stream=True)]
        trajectory = await house.trajectory(session)
    assert server.requests[0].body["include"] == ["message.output_text.logprobs"]
    assert '"logprob"' not in whole.to_json() + "".join(event.to_json() for event in events)
    assert whole.output_text == SAID
    assert [call.tokens and call.tokens.logprobs for call in trajectory.calls] == [tuple(map(logprob, IDS[:-1]))] * 2
    assert findings(trajectory) == {}


async def test_a_dialect_without_token_ids_is_told_in_the_sessions_health(serve: MakeHouse) -> None:
    async with speaking(serve, "vllm") as (house, _):
        session = await house.session(token_ids=True)
        body = {"model": "m", "max_tokens": 9, "messages": HI}
        assert (await house.post(session, body, path="/v1/messages")).status == 200
        found = findings(await house.trajectory(session))
    said = "model call 1 lacks token ids: custom/m cannot be asked for them in the messages dialect"
    assert found["missing_tokens"] == said


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": HI}),
        ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": HI, "stream": True}),
        ("/v1/responses", {"model": "m", "input": "hi"}),
        ("/v1/responses", {"model": "m", "input": "hi", "stream": True}),
        ("/v1beta/models/m:generateContent", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
        ("/v1beta/models/m:streamGenerateContent", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
    ],
)
async def test_agents_of_other_dialects_have_them_where_the_server_is_asked_in_chat(
    serve: MakeHouse, kind: str, path: str, body: dict[str, Any]
) -> None:
    async with serve_chat([SAID], tokens=kind) as server:
        models = Models(base_url=server.base_url, tokens=kind, dialects=["chat"])
        async with serve(models=models) as house:
            session = await house.session(token_ids=True)
            raw = await (await house.post(session, body, path=path)).text()
            trajectory = await house.trajectory(session)
    tokens = trajectory.calls[0].tokens
    assert tokens is not None
    assert (tokens.token_ids, tokens.logprobs) == (IDS, tuple(map(logprob, IDS)))
    assert bool(tokens.prompt_token_ids) == (kind in WITH_PROMPT)
    assert trajectory.completion == SAID
    assert "missing_tokens" not in findings(trajectory)
    assert not [mark for mark in ("token_ids", "sglext", 'logprob"') if mark in raw]


async def test_a_model_that_refuses_is_asked_without(house: House, serve: MakeHouse, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body.get("logprobs"):
            error = {"message": "logprobs are not supported with this model", "param": "logprobs"}
            return web.json_response({"error": error}, status=403)
        return web.json_response(provider.completion())

    provider.answer = answer
    async with serve(models=Models(base_url=provider.url + "/v1", tokens="logprobs")) as refused:
        session = await refused.session(token_ids=True)
        for _ in range(2):
            assert (await refused.post(session, {"model": "m", "messages": HI})).status == 200
        trajectory = await refused.trajectory(session)
    assert [bool(body.get("logprobs")) for body in provider.bodies] == [True, False, False], "it is asked once"
    assert [call.attempts for call in trajectory.calls] == [2, 1]
    assert findings(trajectory)["missing_tokens"].endswith("custom/m refuses to tell of tokens")


async def test_a_refusal_behind_a_translation_is_understood_too(serve: MakeHouse, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body.get("logprobs"):
            return web.json_response({"error": {"message": "logprobs are not supported"}}, status=400)
        return web.json_response(provider.completion())

    provider.answer = answer
    models = Models(base_url=provider.url + "/v1", tokens="logprobs", dialects=["chat"])
    async with serve(models=models) as house:
        session = await house.session(token_ids=True)
        body = {"model": "m", "max_tokens": 9, "messages": HI}
        for _ in range(2):
            assert (await house.post(session, body, path="/v1/messages")).status == 200
        found = findings(await house.trajectory(session))
    assert [bool(body.get("logprobs")) for body in provider.bodies] == [True, False, False]
    assert found["missing_tokens"].endswith("refuses to tell of tokens")


async def test_any_other_refusal_is_the_agents(serve: MakeHouse, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no such tool"}}, status=400)

    provider.answer = answer
    async with serve(models=Models(base_url=provider.url + "/v1", tokens="vllm")) as house:
        response = await house.post(await house.session(token_ids=True), {"model": "m", "messages": HI})
        assert (response.status, await response.json()) == (400, {"error": {"message": "no such tool"}})
    assert len(provider.bodies) == 1


async def test_ids_that_are_fewer_than_the_tokens_are_told(serve: MakeHouse, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        told = provider.completion()
        told["choices"][0]["token_ids"] = [1, 2]
        return web.json_response(told)

    provider.answer = answer
    async with serve(models=Models(base_url=provider.url + "/v1", tokens="vllm")) as house:
        session = await house.session(token_ids=True)
        await house.post(session, {"model": "m", "messages": HI})
        found = findings(await house.trajectory(session))
    assert found["missing_tokens"] == "model call 1 lacks token ids: custom/m told the ids of 2 of 5 tokens"


async def test_a_stream_that_breaks_off_leaves_the_tokens_that_came(serve: MakeHouse, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        choice = {"index": 0, "delta": {"content": "hel"}, "token_ids": [7], "finish_reason": None}
        event = provider.chunk(prompt_token_ids=[1, 2], choices=[choice])
        response = await provider.streamed(request, event)
        assert request.transport is not None
        request.transport.abort()
        return response

    provider.answer = answer
    async with serve(models=Models(base_url=provider.url + "/v1", tokens="vllm")) as house:
        session = await house.session(token_ids=True)
        response = await house.post(session, {"model": "m", "messages": HI, "stream": True}, read=False)
        raw = ""
        with suppress(aiohttp.ClientPayloadError):
            async for part in response.content:
                raw += part.decode()
        response.close()
        (call,) = (await house.trajectory(session)).calls
    assert call.status == "failed"
    assert call.tokens is not None
    assert (call.tokens.prompt_token_ids, call.tokens.token_ids) == ((1, 2), (7,))
    assert "hel" in raw
    assert "token_ids" not in raw


async def test_a_session_that_another_gateway_takes_up_still_wants_them(serve: MakeHouse) -> None:
    async with speaking(serve, "vllm") as (house, _):
        session = await house.session(token_ids=True, withhold=frozenset({"mcp"}))
    async with speaking(serve, "vllm") as (house, server):
        response = await house.post(session, {"model": "m", "messages": HI})
        assert response.status == 200
        again = await house.gateway.sessions.find(session.key)
    assert server.requests[0].body["return_token_ids"] is True
    assert (again.token_ids, again.withhold) == (True, frozenset({"mcp"}))


def test_wishes_go_over_the_control_api() -> None:
    spec = SessionSpec(token_ids=True, withhold=frozenset({"mcp", "web_search"}))
    assert spec_from_json(json.loads(spec_to_json(spec))) == spec
    with pytest.raises(ConfigurationError, match="token_ids must be true or false"):
        spec_from_json({"token_ids": 1})
    with pytest.raises(ConfigurationError, match="There is no kind bash"):
        spec_from_json({"withhold": ["bash"]})


def test_a_kind_of_server_must_be_one_and_have_a_base_url() -> None:
    with pytest.raises(ConfigurationError, match="no kind 'tgi' of servers to ask for token ids; there are vllm, "):
        Models(base_url="http://127.0.0.1:9/v1", tokens="tgi")
    with pytest.raises(ConfigurationError, match="goes with a base URL"):
        Models(tokens="vllm")
