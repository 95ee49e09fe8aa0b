"""A provider of chat alone, for agents of the other dialects: words in time, errors in their words, no secrets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from drawbar.proxy.models import Models
from drawbar.proxy.providers import passed_on

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider
    from tests.proxy.dialects.conftest import Native

others = pytest.mark.parametrize("native", ["responses", "messages", "gemini", "gemini array"], indirect=True)


@pytest.fixture
async def house(serve: MakeHouse, provider: Provider) -> AsyncIterator[House]:
    models = Models(base_url=provider.url + "/v1", api_key="sk-the-provider-secret", dialects=["chat"])
    async with serve(models=models) as found:
        yield found


async def ask(house: House, native: Native, *, stream: bool = False, read: bool = True) -> Any:
    session = await house.session()
    path, body = native.asked(stream=stream)
    return session, await house.post(None, body, path=path, headers=native.key(session.key), read=read)


@others
async def test_words_reach_the_agent_while_the_provider_still_speaks(
    house: House, provider: Provider, native: Native
) -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await provider.streamed(request, provider.chunk({"content": "first words"}))
        await go_on.wait()
        for event in (provider.chunk(finish="stop"), provider.USAGE, provider.DONE):
            await response.write(event)
        return response

    provider.answer = answer
    session, response = await ask(house, native, stream=True, read=False)
    seen = b""
    while b"first words" not in seen:
        seen += await response.content.readany()
    go_on.set()
    await response.read()
    trajectory = await house.trajectory(session)
    assert (trajectory.completion, trajectory.calls[0].status) == ("first words", "answered")
    assert trajectory.calls[0].prompt_tokens == 10


@others
async def test_an_error_of_the_provider_is_told_in_the_agents_dialect(
    house: House, provider: Provider, native: Native
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        said = {"message": "bad key sk-the-provider-secret", "type": "x", "code": "invalid_api_key"}
        return web.json_response({"error": said}, status=401, headers={"x-request-id": "r1"})

    provider.answer = answer
    session, response = await ask(house, native)
    assert (response.status, response.headers["x-request-id"]) == (401, "r1")
    assert native.error(await response.read()) == (native.error_kinds[401], "bad key ***")
    (call,) = (await house.trajectory(session)).calls
    assert (call.cause, call.http_status) == ("upstream_rejected", 401)


@others
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_behind_a_200_is_an_error(
    house: House, provider: Provider, native: Native, stream: bool
) -> None:
    error = {"error": {"message": "no such model", "code": 400}}

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if not stream:
            return web.json_response(error)
        return await provider.streamed(request, b"data: " + json.dumps(error).encode() + b"\n\n")

    provider.answer = answer
    _, response = await ask(house, native, stream=stream)
    assert response.status == 400
    assert native.error(await response.read()) == (native.error_kinds[400], "no such model")


@others
async def test_a_stream_that_breaks_off_is_no_answer(house: House, provider: Provider, native: Native) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await provider.streamed(request, provider.chunk({"content": "half a"}))

    provider.answer = answer
    session, response = await ask(house, native, stream=True)
    assert b"half a" in await response.read()
    trajectory = await house.trajectory(session)
    (call,) = trajectory.calls
    assert (call.status, call.cause, trajectory.turns) == ("failed", "upstream_broken", 0)
    assert call.message is not None
    assert call.message.text == "half a"


@others
async def test_counts_may_stay_away_and_the_stream_open(
    house: House, provider: Provider, native: Native, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drawbar.proxy.bridged.AFTERWARDS", 0.05)

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await provider.streamed(request, provider.chunk({"content": "all"}), provider.chunk(finish="stop"))
        await asyncio.Event().wait()
        return response

    provider.answer = answer
    session, response = await ask(house, native, stream=True)
    assert b"all" in await response.read()
    trajectory = await house.trajectory(session)
    assert (trajectory.completion, trajectory.calls[0].status) == ("all", "answered")
    (lossy,) = [finding for finding in trajectory.health if finding.name == "lossy_translation"]
    assert "counts of tokens" in lossy.detail


async def test_a_provider_is_asked_with_its_key_and_without_the_dialects_headers(
    house: House, provider: Provider
) -> None:
    session = await house.session()
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"anthropic-beta": "a", "anthropic-version": "2023-06-01", "x-run": "r1"}
    await house.post(session, body, path="/v1/messages", headers=headers)
    sent = provider.requests[0].headers
    assert (sent["authorization"], sent["x-run"]) == ("Bearer sk-the-provider-secret", "r1")
    assert not [name for name in sent if name.lower().startswith("anthropic")]


@pytest.mark.parametrize(
    ("variables", "model", "expected"),
    [
        ({"OPENAI_BASE_URL": "{}/v1", "OPENAI_API_KEY": "k"}, "gpt-x", {"max_completion_tokens": 9}),
        ({"VLLM_BASE_URL": "{}/v1"}, "vllm/m", {"max_tokens": 9}),
    ],
)
async def test_a_limit_of_tokens_is_said_as_the_provider_knows_it(
    serve: MakeHouse, provider: Provider, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], model: str,
    expected: dict[str, int],
) -> None:  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(provider.url))
    async with serve(models=Models()) as house:
        body = {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 9}}
        await house.post(await house.session(), body, path=f"/v1beta/models/{model}:generateContent")
    assert expected.items() <= provider.bodies[0].items()


@pytest.mark.parametrize(
    ("dialect", "models"),
    [
        ("chat", ["anthropic/x", "gemini/x", "cohere/x"]),
        ("messages", ["anthropic/x", "bedrock/anthropic.claude-x", "vertex_ai/claude-x"]),
        ("responses", ["openai/x", "azure/x"]),
        ("gemini", ["vertex_ai/gemini-x"]),
    ],
)
def test_litellm_hands_on_what_its_provider_speaks(dialect: str, models: list[str]) -> None:
    known = ["anthropic/x", "gemini/x", "cohere/x", "bedrock/anthropic.claude-x", "bedrock/llama", "vertex_ai/claude-x",
             "vertex_ai/gemini-x", "openai/x", "azure/x"]  # fmt: skip
    found = [model for model in known if passed_on(model, dialect)]
    assert found == (known if dialect == "chat" else models)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "one two three"}]}, "input_tokens"),
        ("/v1/responses/input_tokens", {"input": "one two three"}, "input_tokens"),
        ("/v1beta/models/m:countTokens", {"contents": [{"parts": [{"text": "one two three"}]}]}, "totalTokens"),
    ],
)
async def test_tokens_are_estimated_here(
    house: House, provider: Provider, path: str, body: dict[str, Any], field: str
) -> None:
    session = await house.session()
    response = await house.post(session, {"model": "m", **body}, path=path)
    assert response.status == 200
    assert 3 <= (await response.json())[field] < 30
    assert not provider.requests
    assert (await house.trajectory(session)).calls == []
