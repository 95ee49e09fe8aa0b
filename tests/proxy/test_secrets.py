"""Keys stay where they belong: not in what a client is told, not in the store, not in the log."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from drawbar.errors import ConfigurationError
from drawbar.hiding import hidden, secret_values, shown_url
from drawbar.proxy.models import Models

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
KEY = "sk-provider-secret"


async def nothing_leaks(house: House, *secrets: str, log: str = "") -> None:
    await house.gateway.recorder.commit()
    kept = repr([house.gateway.store.trajectory(row.id) for row in house.gateway.store.sessions()])
    kept += "".join(file.read_bytes().decode("latin-1") for file in house.store_files())
    for secret in secrets:
        assert secret not in kept + log


def quoting(provider: Provider, where: str) -> None:
    """The provider quotes the key that it was shown."""

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        shown = request.headers["authorization"].removeprefix("Bearer ")
        error = {"error": {"message": f"Incorrect API key: {shown}"}}
        match where:
            case "error":
                return web.json_response(error, status=401, headers={"x-echo": shown})
            case "hidden error":
                return web.json_response(error)
            case "first event":
                return await provider.streamed(request, b"data: " + json.dumps(error).encode() + b"\n\n")
            case "later event":
                event = b"data: " + json.dumps(error).encode() + b"\n\n"
                return await provider.streamed(request, provider.STREAM[0], event)
        return web.json_response(provider.completion(text=f"it is {shown}"), headers={"x-echo": shown})

    provider.answer = answer


@pytest.mark.parametrize("where", ["error", "hidden error", "first event", "later event", "answer"])
async def test_a_provider_that_quotes_its_key_tells_it_to_nobody(
    house: House, provider: Provider, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    caplog.set_level(logging.DEBUG)
    quoting(provider, where)
    session = await house.session()
    response = await house.post(session, {**ASK, "stream": "event" in where})
    assert "***" in await response.text()
    assert KEY not in await response.text() + repr(response.headers)
    await nothing_leaks(house, KEY, session.key, log=caplog.text)


async def test_what_a_client_shows_is_kept_nowhere(
    house: House, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    session = await house.session()
    headers = {"authorization": "Bearer sk-of-the-client", "cookie": "a=cookie-of-the-client"}
    await house.post(None, ASK, headers=headers, path=f"/s/{session.key}/v1/chat/completions?key=query-of-the-client")
    await house.post(None, b"nonsense", headers={**headers, "x-api-key": "x-of-the-client"})
    await house.post(None, ASK, headers={**headers, "x-drawbar-session": "dbk_unknown-of-the-client"})
    await nothing_leaks(house, "of-the-client", session.key, log=caplog.text)
    assert "of-the-client" not in repr([(request.rel_url, request.headers) for request in provider.requests])


async def test_a_base_urls_secrets_are_not_in_what_is_said_when_it_cannot_be_reached(
    serve: MakeHouse, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(models=Models(base_url="http://me:hidden-word@127.0.0.1:9/v1?sig=hidden-sign")) as house:
        response = await house.post(await house.session(), ASK)
        said = await response.text()
        assert "custom at http://127.0.0.1:9/v1 could not be reached" in said
        assert "hidden" not in said
        await nothing_leaks(house, "hidden-word", "hidden-sign", log=caplog.text)


async def test_a_base_urls_query_goes_with_every_request(serve: MakeHouse, provider: Provider) -> None:
    async with serve(models=Models(base_url=provider.url + "/v1?api-version=7")) as house:
        assert (await house.post(await house.session(), ASK)).status == 200
        assert str(provider.requests[0].rel_url) == "/v1/chat/completions?api-version=7"


def test_a_base_url_that_cannot_be_used_is_told() -> None:
    with pytest.raises(ConfigurationError, match="A base URL looks like"):
        Models(base_url="http://[::1/v1")
    with pytest.raises(ConfigurationError, match="takes no API key"):
        Models(base_url="http://me:pw@host/v1", api_key="k")


def test_a_url_is_shown_without_what_may_be_a_key() -> None:
    assert shown_url("https://me:pw@host:8/v1/x?key=k#f") == "https://host:8/v1/x"


def test_placeholders_are_no_secrets() -> None:
    assert hidden("is EMPTY", ["EMPTY"]) == "is EMPTY"
    assert hidden("is sk-123456", ["sk-123456"]) == "is ***"


def test_variables_are_secret_by_their_names() -> None:
    named = {"HOME": "/home/me", "API_KEY": "abc", "Authorization": "Bearer longest-one"}
    assert secret_values(named) == ["Bearer longest-one", "longest-one", "abc"]
