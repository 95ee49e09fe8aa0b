"""Answers and conversations that a provider keeps, asked for by their ids: passed on where it may keep any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest
from aiohttp import web

from drawbar.proxy.models import Models
from drawbar.testing import ScriptedModel

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

KEPT = [
    ("GET", "/v1/responses/resp_1?include=a"),
    ("DELETE", "/v1/responses/resp_1"),
    ("GET", "/v1/responses/resp_1/input_items?limit=2"),
    ("POST", "/v1/responses/resp_1/cancel"),
    ("POST", "/v1/responses/compact"),
    ("POST", "/v1/conversations"),
    ("GET", "/v1/conversations/conv_1"),
    ("POST", "/v1/conversations/conv_1"),
    ("DELETE", "/v1/conversations/conv_1"),
    ("GET", "/v1/conversations/conv_1/items"),
    ("POST", "/v1/conversations/conv_1/items"),
    ("DELETE", "/v1/conversations/conv_1/items/msg_1"),
]


async def echo(request: web.Request, body: object) -> web.StreamResponse:
    return web.json_response({"kept": str(request.rel_url), "method": request.method})


@pytest.mark.parametrize(("method", "path"), KEPT)
async def test_it_is_asked_of_the_provider_and_is_no_turn(
    serve: MakeHouse, provider: Provider, method: str, path: str
) -> None:
    provider.answer = echo
    async with serve(models=Models(base_url=provider.url + "/v1", api_key="sk-the-provider")) as house:
        session = await house.session(model="other")
        headers = {"authorization": f"Bearer {session.key}"}
        body = b'{"model": "m"}' if method == "POST" else None
        async with house.http.request(method, house.url + path, data=body, headers=headers) as response:
            assert (response.status, await response.json()) == (200, {"kept": path, "method": method})
        trajectory = await house.trajectory(session)
    assert provider.requests[0].headers["authorization"] == "Bearer sk-the-provider"
    assert provider.raw[0] == (b'{"model": "other"}' if body else b"")
    assert trajectory.calls == []


async def test_openais_sdk_finds_deletes_and_misses_answers(serve: MakeHouse, provider: Provider) -> None:
    async def answer(request: web.Request, body: object) -> web.StreamResponse:
        if request.path.endswith("resp_none"):
            said = {"message": "No response with id resp_none.", "type": "invalid_request_error", "code": None}
            return web.json_response({"error": said}, status=404)
        kept = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": "m",
            "output": [],
            "status": "completed",
        }
        return web.json_response(kept)

    provider.answer = answer
    async with serve() as house, house.openai(await house.session()) as client:
        assert (await client.responses.retrieve("resp_1")).status == "completed"
        await client.responses.delete("resp_1")
        with pytest.raises(openai.NotFoundError, match="No response with id resp_none"):
            await client.responses.retrieve("resp_none")
    assert [request.method for request in provider.requests] == ["GET", "DELETE", "GET"]


@pytest.mark.parametrize("named", [True, False])
async def test_where_nothing_is_kept_that_is_said(
    serve: MakeHouse, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with serve(models=Models(in_process={"oracle": ScriptedModel([])})) as house:
        session = await house.session(**({"model": "oracle"} if named else {}))
        async with house.openai(session) as client:
            with pytest.raises(openai.NotFoundError, match="/v1/responses/resp_1"):
                await client.responses.retrieve("resp_1")
            with pytest.raises(openai.NotFoundError):
                await client.conversations.create()
            with pytest.raises(openai.NotFoundError, match="There is nothing at /v1/files"):
                await client.files.list()


async def test_an_ended_session_gets_nothing_that_is_kept(house: House, provider: Provider) -> None:
    session = await house.session()
    await house.gateway.end(session.id, stop="completed")
    async with house.openai(session) as client:
        with pytest.raises(openai.ConflictError):
            await client.responses.retrieve("resp_1")
    assert not provider.requests


async def test_another_method_is_told_which_one_is_served(house: House) -> None:
    async with house.http.put(house.url + "/v1/responses/resp_1") as response:
        assert (response.status, response.headers["allow"]) == (405, "GET, DELETE")
        assert (await response.json())["error"]["code"] == "method_not_allowed"
