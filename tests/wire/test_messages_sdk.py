"""Anthropic's own SDK beside ours: it reads the golden bodies as we do, and raises our errors in our words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drawbar.wire import MESSAGES
from drawbar.wire.sse import EventSplitter, payload

anthropic = pytest.importorskip("anthropic", reason="pip install anthropic")
httpx = pytest.importorskip("httpx2", reason="the HTTP library of Anthropic's SDK")
pydantic = pytest.importorskip("pydantic")

GOLDEN = Path(__file__).parent / "golden" / "messages"
NAMES = sorted(path.name.removesuffix(".request.json") for path in GOLDEN.glob("*.request.json"))
ALL = pytest.mark.parametrize("name", NAMES)
ASK: dict[str, Any] = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}


class Provider:
    """Answers everything with one body, and keeps what it was asked."""

    def __init__(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self._answer = (status, body, kind)
        self.asked: list[bytes] = []

    def __call__(self, request: Any) -> Any:
        self.asked.append(request.content)
        status, body, kind = self._answer
        return httpx.Response(status, content=body, headers={"content-type": kind})


@pytest.fixture
def connect() -> Iterator[Any]:
    """A function from a provider to the SDK's client of it."""
    clients: list[Any] = []

    def client(provider: Provider) -> Any:
        http = httpx.Client(transport=httpx.MockTransport(provider))
        clients.append(anthropic.Anthropic(api_key="k", base_url="http://provider", max_retries=0, http_client=http))
        return clients[-1]

    yield client
    for made in clients:
        made.close()


def told(value: Any) -> Any:
    """Without nulls: the SDK adds some for what did not come."""
    if isinstance(value, list):
        return [told(item) for item in value]
    return {key: told(v) for key, v in value.items() if v is not None} if isinstance(value, dict) else value


@ALL
def test_the_golden_bodies_are_what_the_sdk_takes_for_native(name: str) -> None:
    answer = anthropic.types.beta.BetaMessage.model_validate_json((GOLDEN / f"{name}.response.json").read_bytes())
    assert told(answer.to_dict()) == told(json.loads((GOLDEN / f"{name}.response.json").read_bytes()))
    said = pydantic.TypeAdapter(anthropic.types.beta.BetaMessageParam)
    for message in json.loads((GOLDEN / f"{name}.request.json").read_bytes())["messages"]:
        said.validate_python(message)


@ALL
def test_the_sdk_assembles_a_stream_as_we_do(name: str, connect: Any) -> None:
    raw = (GOLDEN / f"{name}.stream.sse").read_bytes()
    with connect(Provider(200, raw, "text/event-stream")).beta.messages.stream(**ASK) as stream:
        theirs = stream.get_final_message().to_dict()
    assembler = MESSAGES.assembler()
    for event in EventSplitter().feed(raw):
        assembler.feed(payload(event) or b"")
    response = assembler.response()
    assert told({**json.loads(response.message or b""), **json.loads(response.envelope)}) == told(theirs)


@ALL
def test_a_reply_that_the_sdk_sends_back_is_the_node_that_we_recorded(name: str, connect: Any) -> None:
    raw = (GOLDEN / f"{name}.response.json").read_bytes()
    provider = Provider(200, raw)
    client = connect(provider)
    reply = client.beta.messages.create(**ASK)
    client.beta.messages.create(
        **{**ASK, "messages": [*ASK["messages"], {"role": "assistant", "content": reply.content}]}
    )
    _, history = MESSAGES.split(provider.asked[-1]).messages
    assert MESSAGES.canonical(history) == MESSAGES.canonical(MESSAGES.response(raw).message or b"")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 429, 500, 503, 529])
def test_the_sdk_raises_our_errors_in_our_words(status: int, connect: Any) -> None:
    provider = Provider(status, MESSAGES.error(status, "no more turns", "limit_turns"))
    with pytest.raises(anthropic.APIStatusError, match="no more turns") as raised:
        connect(provider).messages.create(**ASK)
    assert raised.value.status_code == status
    assert raised.value.api_message == "no more turns"
    assert raised.value.error_code == "limit_turns"
    assert MESSAGES.error_message(raised.value.response.content) == "no more turns"
