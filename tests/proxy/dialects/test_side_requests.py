"""What agents ask beside their turns: counts of tokens, lists of models, whether anybody is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from drawbar.proxy.models import Models
from drawbar.testing import ScriptedModel
from drawbar.wire import DIALECTS

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeHouse, Provider

COUNTS = {
    "/v1/messages/count_tokens?beta=true": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses/input_tokens": {"model": "m", "input": "hi"},
    "/v1beta/models/m:countTokens": {"contents": [{"parts": [{"text": "hi"}]}]},
}


@pytest.mark.parametrize("path", COUNTS)
async def test_a_count_is_relayed_for_the_sessions_model_and_is_no_turn(
    serve: MakeHouse, provider: Provider, path: str
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"counted": 7})

    provider.answer = answer
    models = Models(base_url=provider.url + "/v1", dialects=list(DIALECTS))
    async with serve(models=models) as house:
        session = await house.session(model="other")
        response = await house.post(session, COUNTS[path], path=path)
        assert (response.status, await response.json()) == (200, {"counted": 7})
        trajectory = await house.trajectory(session)
    assert str(provider.requests[0].rel_url) == path.replace("/m:", "/other:")
    assert provider.bodies[0].get("model") in ("other", None)
    assert (trajectory.calls, trajectory.turns) == ([], 0)


@pytest.mark.parametrize(
    ("path", "headers", "said"),
    [
        ("/v1/models", {}, {"object": "list", "data": [
            {"id": "oracle", "object": "model", "created": 0, "owned_by": "drawbar"}]}),
        ("/v1/models/oracle", {"anthropic-version": "2023-06-01"}, {
            "type": "model", "id": "oracle", "display_name": "oracle", "created_at": "1970-01-01T00:00:00Z"}),
        ("/v1beta/models", {}, {"models": [{"name": "models/oracle", "displayName": "oracle",
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"]}]}),
    ],
)  # fmt: skip
async def test_models_are_listed_in_the_askers_shape(
    serve: MakeHouse, path: str, headers: dict[str, str], said: dict[str, Any]
) -> None:
    async with serve(models=Models(in_process={"oracle": ScriptedModel([])})) as house:
        async with house.http.get(house.url + path, headers=headers) as response:
            assert (response.status, await response.json()) == (200, said)
        async with house.http.head(house.url + path, headers=headers) as response:
            assert (response.status, await response.read()) == (200, b"")


@pytest.mark.parametrize("path", ["/", "/api/hello", "/s/dbk_any", "/s/dbk_any/api/hello"])
async def test_probes_are_answered(serve: MakeHouse, path: str) -> None:
    async with serve() as house, house.http.head(house.url + path) as response:
        assert response.status == 200


async def test_a_path_that_leads_nowhere_says_so_in_the_askers_words(serve: MakeHouse) -> None:
    async with serve() as house:
        async with house.http.get(house.url + "/v1beta/files", headers={"x-goog-api-key": "k"}) as response:
            assert (response.status, (await response.json())["error"]["status"]) == (404, "NOT_FOUND")
        async with house.http.get(house.url + "/v1/files", headers={"anthropic-version": "2023-06-01"}) as response:
            assert (response.status, (await response.json())["error"]["type"]) == (404, "not_found_error")


async def test_a_key_in_the_query_names_the_session_and_goes_no_further(serve: MakeHouse, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}]})

    provider.answer = answer
    async with serve(models=Models(base_url=provider.url + "/v1", dialects=["gemini"])) as house:
        session = await house.session()
        path = f"/v1beta/models/m:generateContent?key={session.key}&x=1"
        assert (await house.post(None, {"contents": [{"parts": [{"text": "hi"}]}]}, path=path)).status == 200
        assert (await house.trajectory(session)).turns == 1
        files = b"".join(file.read_bytes() for file in house.store_files())
    assert str(provider.requests[0].rel_url) == "/v1beta/models/m:generateContent?x=1"
    assert session.key.encode() not in files
