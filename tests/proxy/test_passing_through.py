"""What the gateway need not understand of requests and answers: it lets it through, and records it."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from aiohttp import web

from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam
    from tests.proxy.conftest import House, MakeHouse, Provider

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


async def test_a_client_gets_the_upstreams_answer_and_it_is_recorded(house: House, provider: Provider) -> None:
    session = await house.session()
    async with house.openai(session) as client:
        answer = await client.chat.completions.create(model="m", messages=HI)
    assert answer.choices[0].message.content == "hello"
    trajectory = await house.trajectory(session)
    (call,) = trajectory.calls
    assert (call.status, call.http_status, call.finish, call.model, call.upstream) == (
        "answered", 200, "stop", "m", "custom/m",
    )  # fmt: skip
    assert (call.prompt_tokens, call.completion_tokens, call.attempts, call.streamed) == (10, 5, 1, False)
    assert [message.text for message in trajectory.messages] == ["hi", "hello"]
    assert (trajectory.turns, trajectory.completion) == (1, "hello")


async def test_bytes_go_up_and_come_down_unchanged(house: House, provider: Provider) -> None:
    answered = (
        b'{ "id":"x",  "choices":[{"index":0,"message":{"role":"assistant","content":"\\u00e9"}}],"own":[1.50] }\n'
    )

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=answered, content_type="application/json", headers={"x-request-id": "req-1"})

    provider.answer = answer
    asked = b'{"model":"m",   "own": {"a":[1.50]},\n"messages":[{"role":"user","content":"\\u00e9","x":1}] }'
    response = await house.post(await house.session(), asked)
    assert provider.raw == [asked]
    assert await response.read() == answered
    assert response.headers["x-request-id"] == "req-1"


async def test_model_and_sampling_of_the_session_are_set_and_nothing_else(house: House, provider: Provider) -> None:
    session = await house.session(model="real-model", sampling={"temperature": 0.25, "top_p": 0.5}, seed=7)
    response = await house.post(session, b'{"model":"m", "temperature":1,"messages":[{"role":"user","content":"hi"}]}')
    assert response.status == 200
    assert provider.raw == [
        b'{"model":"real-model", "temperature":0.25,"messages":[{"role":"user","content":"hi"}],"top_p":0.5,"seed":7}'
    ]


async def test_headers_pass_but_credentials_do_not(house: House, provider: Provider) -> None:
    session = await house.session()
    headers = {"x-custom": "1", "cookie": "a=b", "x-api-key": "sk-clients-own", "x-drawbar-session": session.key}
    await house.post(session, {"model": "m", "messages": HI}, headers=headers)
    (request,) = provider.requests
    assert request.headers["x-custom"] == "1"
    assert request.headers["authorization"] == "Bearer sk-provider-secret"
    assert not {"cookie", "x-api-key", "x-drawbar-session"} & {name.lower() for name in request.headers}
    assert session.key not in str(request.headers)


async def test_a_clients_own_key_goes_on_only_where_that_is_set(serve: MakeHouse, provider: Provider) -> None:
    async with serve(settings=Settings(pass_key=True)) as house:
        async with house.openai(api_key="sk-clients-own") as client:
            await client.chat.completions.create(model="m", messages=HI)
        session = await house.session()
        async with house.openai(session) as client:
            await client.chat.completions.create(model="m", messages=HI)
    assert [request.headers["authorization"] for request in provider.requests] == [
        "Bearer sk-clients-own",
        "Bearer sk-provider-secret",
    ]


async def test_embeddings_are_forwarded_and_are_no_turn(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        assert request.path == "/v1/embeddings"
        data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
        return web.json_response(
            {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        )

    provider.answer = answer
    session = await house.session()
    async with house.openai(session) as client:
        found = await client.embeddings.create(model="m", input="hi", encoding_format="float")
    assert found.data[0].embedding == [0.5]
    assert not (await house.trajectory(session)).calls


async def test_an_embeddings_error_is_passed_on(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no such thing"}}, status=422)

    provider.answer = answer
    session = await house.session()
    response = await house.post(session, {"model": "m", "input": "a"}, path="/v1/embeddings")
    assert (response.status, await response.json()) == (422, {"error": {"message": "no such thing"}})
    response = await house.post(session, {"input": "a"}, path="/v1/embeddings")
    assert (response.status, (await response.json())["error"]["code"]) == (400, "bad_request")


async def test_known_models_are_listed(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"data": [{"id": "theirs", "object": "model", "created": 1, "owned_by": "them"}]})

    provider.answer = answer
    session = await house.session(model="mine")
    async with house.openai(session) as client:
        assert sorted([model.id async for model in client.models.list()]) == ["mine", "theirs"]
        assert (await client.models.retrieve("theirs")).owned_by == "them"
        with pytest.raises(openai.NotFoundError, match=r"No model named 'their'.*Did you mean 'theirs'"):
            await client.models.retrieve("their")


async def test_models_are_listed_without_an_upstream_that_lists_them(serve: MakeHouse) -> None:
    models = Models(base_url="http://127.0.0.1:9/v1", fallbacks=["spare"])
    async with serve(models=models) as house, house.http.get(house.url + "/v1/models") as response:
        assert [model["id"] for model in (await response.json())["data"]] == ["spare"]


async def test_unknown_paths_and_methods_are_told(house: House) -> None:
    session = await house.session()
    response = await house.post(session, {}, path="/v1/nothing")
    assert (response.status, (await response.json())["error"]["message"]) == (404, "There is nothing at /v1/nothing.")
    async with house.http.get(house.url + "/v1/chat/completions") as got:
        assert (got.status, got.headers["allow"]) == (405, "POST")


async def test_what_is_recorded_holds_no_secret(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        said = f"Incorrect API key provided: {request.headers['authorization'][7:]}"
        return web.json_response({"error": {"message": said}}, status=401)

    provider.answer = answer
    session = await house.session()
    response = await house.post(session, {"model": "m", "messages": HI}, path=f"/s/{session.key}/v1/chat/completions")
    assert response.status == 401
    assert "sk-provider-secret" not in await response.text()
    await house.gateway.end(session.id, stop="completed")
    trajectory = await house.trajectory(session)
    (path,) = (call.error for call in trajectory.calls)
    assert path == "Incorrect API key provided: ***"
    for file in house.store_files():
        content = file.read_bytes()
        assert b"sk-provider-secret" not in content
        assert session.key.encode() not in content


async def test_a_request_that_is_compressed_is_told_not_to_be(house: House) -> None:
    raw = gzip.compress(json.dumps({"model": "m", "messages": HI}).encode())
    response = await house.post(await house.session(), raw, headers={"content-encoding": "gzip"})
    assert response.status == 415
    assert "content-encoding" in (await response.json())["error"]["message"]
