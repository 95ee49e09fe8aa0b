"""Providers behind litellm, against a scripted provider in another dialect. Slow: litellm takes seconds to import."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import openai
import pytest
from aiohttp import web

from drawbar.proxy.models import Models, Target
from drawbar.proxy.translated import LiteLLMUpstream

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam
    from tests.proxy.conftest import House, MakeHouse, Provider

pytestmark = pytest.mark.slow

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
USAGE = {"input_tokens": 11, "output_tokens": 3}


async def anthropic(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Anthropic's messages API, as far as litellm needs it."""
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "stop_sequence": None}
    if not body.get("stream"):
        content = [{"type": "text", "text": "bonjour"}]
        return web.json_response({**head, "content": content, "stop_reason": "end_turn", "usage": USAGE})
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**head, "content": [], "stop_reason": None, "usage": USAGE}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "bon"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "jour"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE},
        {"type": "message_stop"},
    ]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    return response


@pytest.fixture
async def translated(serve: MakeHouse, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    provider.answer = anthropic
    monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret")
    async with serve(models=Models()) as house:
        yield house


async def test_an_answer_is_translated_and_recorded(translated: House, provider: Provider) -> None:
    session = await translated.session()
    async with translated.openai(session) as client:
        answer = await client.chat.completions.create(model="anthropic/claude-sonnet-4-5", messages=HI, max_tokens=9)
    assert answer.choices[0].message.content == "bonjour"
    (asked,) = provider.bodies
    assert (asked["model"], asked["max_tokens"], provider.requests[0].path) == ("claude-sonnet-4-5", 9, "/v1/messages")
    trajectory = await translated.trajectory(session)
    (call,) = trajectory.calls
    assert (call.status, call.finish, call.upstream) == ("answered", "stop", "litellm/anthropic/claude-sonnet-4-5")
    assert (call.prompt_tokens, call.completion_tokens, trajectory.completion) == (11, 3, "bonjour")
    assert call.cost is not None
    assert call.cost > 0


async def test_a_stream_is_translated_and_recorded(translated: House) -> None:
    session = await translated.session()
    async with translated.openai(session) as client:
        stream = await client.chat.completions.create(model="claude-sonnet-4-5", messages=HI, stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(said) == "bonjour"
    (call,) = (await translated.trajectory(session)).calls
    assert (call.status, call.finish, call.prompt_tokens, call.completion_tokens) == ("answered", "stop", 11, 3)


async def test_a_refusal_keeps_its_status(translated: House, provider: Provider) -> None:
    async def refuse(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        error = {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 5 maximum"}
        return web.json_response({"type": "error", "error": error}, status=400)

    provider.answer = refuse
    session = await translated.session()
    async with translated.openai(session) as client:
        with pytest.raises(openai.BadRequestError, match="prompt is too long"):
            await client.chat.completions.create(model="claude-sonnet-4-5", messages=HI)
    (call,) = (await translated.trajectory(session)).calls
    assert (call.cause, call.attempts) == ("context_overflow", 1)


async def test_a_provider_that_litellm_does_not_know_is_told(translated: House) -> None:
    session = await translated.session()
    async with translated.openai(session) as client:
        with pytest.raises(openai.BadRequestError, match="LLM Provider NOT provided"):
            await client.chat.completions.create(model="litellm/wizardry/x", messages=HI)


def test_a_target_says_where_it_leads() -> None:
    assert Target(LiteLLMUpstream(), "gemini/x").label == "litellm/gemini/x"


async def test_a_client_cannot_steer_where_a_providers_key_goes(translated: House, provider: Provider) -> None:
    session = await translated.session()
    steering = {
        "api_base": "http://127.0.0.1:9", "base_url": "http://127.0.0.1:9", "api_key": "mine", "mock_response": "no",
        "use_litellm_proxy": True, "aws_bedrock_runtime_endpoint": "x", "vertex_credentials": "/a/file", "top_k": 5,
    }  # fmt: skip
    response = await translated.post(session, {"model": "anthropic/claude-x", "messages": HI, **steering})
    assert (await response.json())["choices"][0]["message"]["content"] == "bonjour"
    assert provider.requests[0].headers["x-api-key"] == "sk-ant-secret"
    assert provider.bodies[0]["top_k"] == 5
    assert not steering.keys() - {"top_k"} & provider.bodies[0].keys()


async def test_a_key_that_the_provider_quotes_is_not_repeated(translated: House, provider: Provider) -> None:
    async def refuse(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        error = {"type": "authentication_error", "message": "bad key " + request.headers["x-api-key"]}
        return web.json_response({"type": "error", "error": error}, status=401)

    provider.answer = refuse
    session = await translated.session()
    response = await translated.post(session, {"model": "anthropic/claude-x", "messages": HI})
    assert (response.status, "bad key ***" in await response.text()) == (401, True)
    assert "sk-ant-secret" not in await response.text() + repr(await translated.trajectory(session))
