"""Requests that cannot be served: each gets a clear answer in the shape that SDKs read, and leaves a row."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import openai
import pytest

from drawbar.environment import Environment
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openai.types.chat import ChatCompletionMessageParam
    from tests.proxy.conftest import House, MakeHouse, Provider

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is empty"),
        (b"hello", "the body is not JSON"),
        (b'{"model": "m", "messages": [', "the body is not JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"model": "m"}', "`messages` is missing"),
        (b'{"messages": [{"role": "user"}]}', "`model` is missing"),
        (b'{"model": "m", "messages": ["hi"]}', "a message must be a JSON object"),
        (b"\xff\xfe\x00", "the body is not JSON"),
    ],
)
async def test_a_body_that_cannot_be_read_is_a_400_and_a_row(
    house: House, provider: Provider, body: bytes, said: str
) -> None:
    session = await house.session()
    response = await house.post(session, body)
    error = (await response.json())["error"]
    assert (response.status, error["type"], error["code"]) == (400, "invalid_request_error", "bad_request")
    assert said in error["message"]
    (call,) = (await house.trajectory(session)).calls
    assert (call.status, call.cause, call.http_status) == ("refused", "bad_request", 400)
    assert call.request_envelope == body
    assert not provider.raw
    assert (await house.post(session, {"model": "m", "messages": HI})).status == 200


async def test_a_body_that_is_too_large_is_not_read(serve: MakeHouse, provider: Provider) -> None:
    async with serve(settings=Settings(max_body=1000)) as house:
        session = await house.session()
        response = await house.post(session, b"x" * 1001)
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (413, "request_too_large")
        assert "larger than 1000 bytes" in error["message"]
        (call,) = (await house.trajectory(session)).calls
        assert (call.status, call.http_status) == ("refused", 413)


async def test_a_body_that_turns_out_to_be_too_large_is_not_read_on(serve: MakeHouse) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 1000

    async with serve(settings=Settings(max_body=100_000)) as house:
        session = await house.session()
        url = f"{house.url}/s/{session.key}/v1/chat/completions"
        async with house.http.post(url, data=endless()) as response:
            assert response.status == 413


async def test_a_hundred_megabytes_are_refused_by_their_length_alone(house: House) -> None:
    session = await house.session()
    headers = {"content-length": str(101 * 1024 * 1024)}
    async with house.http.post(f"{house.url}/s/{session.key}/v1/chat/completions", headers=headers) as response:
        assert response.status == 413


async def test_a_model_that_is_not_there_is_told_with_the_nearest(serve: MakeHouse) -> None:
    async def oracle(*_: object) -> dict[str, str]:
        return {"content": "42"}

    async with serve(models=Models(in_process={"oracle": oracle})) as house:
        session = await house.session()
        async with house.openai(session) as client:
            with pytest.raises(openai.NotFoundError, match=r"No model named 'oracel'. Did you mean 'oracle'") as caught:
                await client.chat.completions.create(model="oracel", messages=HI)
        assert caught.value.code == "model_not_found"
        (call,) = (await house.trajectory(session)).calls
        assert (call.status, call.cause, call.http_status) == ("refused", "upstream_rejected", 404)


async def test_a_provider_without_a_key_is_told_which_variable_to_set(serve: MakeHouse) -> None:
    async with serve(models=Models()) as house:
        response = await house.post(await house.session(), {"model": "groq/llama", "messages": HI})
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (403, "provider_key_missing")
        assert "set GROQ_API_KEY where the gateway runs" in error["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/mcp/e"])
async def test_a_body_that_does_not_come_is_not_waited_for_for_ever(
    serve: MakeHouse, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("drawbar.proxy.client.BODY_PATIENCE", 0.05)
    monkeypatch.setattr("drawbar.tools.guard.BODY_PATIENCE", 0.05)
    async with serve(environments={"e": Environment(name="e")}) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(house.url.rpartition(":")[2]))
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n"
        )
        writer.write(head.encode() + b"{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()
