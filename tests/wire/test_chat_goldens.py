"""The chat dialect on native bodies: each is a request, its answer, and the same answer as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import CHAT
from drawbar.wire.dialect import Response, Usage
from drawbar.wire.message import Block, Reasoning, Text, ToolUse
from drawbar.wire.sse import EventSplitter, payload

FOLDER = Path(__file__).parent / "golden" / "chat"
SAID: dict[str, tuple[tuple[Block, ...], str, Usage]] = {
    "hello": ((Text("Hello, Zoë 👋!"),), "stop", Usage(19, 10, 0, 0)),
    "agent_first": (
        (
            Text("I'll look."),
            ToolUse("call_1", "weather", {"city": "Paris"}, '{"city": "Paris"}'),
            ToolUse("call_2", "weather", {"city": "Rome"}, '{"city": "Rome"}'),
        ),
        "tool_calls",
        Usage(19, 10, 0, 0),
    ),
    "agent_second": ((Text("Rain."),), "stop", Usage(19, 10, 0, 0)),
    "picture": ((Text("I can't."),), "stop", Usage(19, 10, 0, 0)),
    "reasoning": ((Reasoning("Three and three."), Text("6")), "stop", Usage(19, 10, 0, 6, 0.00012)),
}
ALL = pytest.mark.parametrize("name", SAID)


def golden(name: str, kind: str) -> bytes:
    return (FOLDER / f"{name}.{kind}").read_bytes()


def assembled(parts: Iterable[bytes]) -> Response:
    splitter, assembler = EventSplitter(), CHAT.assembler()
    for part in parts:
        for event in splitter.feed(part):
            data = payload(event)
            assert data is not None
            assembler.feed(data)
    assert (assembler.error, assembler.ended, assembler.done) == (None, True, True)
    return assembler.response()


def told(response: Response) -> dict[str, Any]:
    """All that a response says. A stream has another type of object, and says nothing of what is null."""
    assert response.message is not None
    envelope: dict[str, Any] = json.loads(response.envelope)
    envelope["object"] = envelope["object"].removesuffix(".chunk")
    said = {"message": json.loads(response.message), **envelope, "finish": response.finish, "usage": response.usage}
    found: dict[str, Any] = _without_nulls(said)
    return found


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


@ALL
def test_a_request_is_split_into_all_that_it_holds(name: str) -> None:
    sent = json.loads(golden(name, "request.json"))
    request = CHAT.split(golden(name, "request.json"))
    found = {**json.loads(request.envelope), "model": request.model}
    found["messages"] = [json.loads(message) for message in request.messages]
    if "stream" in sent:
        found["stream"] = request.stream
    if request.tools is not None:
        found["tools"] = json.loads(request.tools)
    assert found == sent


@ALL
def test_an_answer_is_read_into_our_types(name: str) -> None:
    response = CHAT.response(golden(name, "response.json"))
    assert response.message is not None
    assert (CHAT.normal(response.message).blocks, response.finish, response.usage) == SAID[name]


@ALL
def test_a_stream_is_the_answer_that_it_is_pieces_of(name: str) -> None:
    whole = CHAT.response(golden(name, "response.json"))
    streamed = assembled([golden(name, "stream.sse")])
    assert told(streamed) == told(whole)
    assert CHAT.canonical(streamed.message or b"") == CHAT.canonical(whole.message or b"")


@given(st.sampled_from(sorted(SAID)), st.lists(st.integers(0, 10_000), max_size=10))
def test_any_split_of_the_bytes_gives_the_same_answer(name: str, cuts: list[int]) -> None:
    stream = golden(name, "stream.sse")
    at = sorted(cut % (len(stream) + 1) for cut in cuts)
    pieces = [stream[start:stop] for start, stop in zip([0, *at], [*at, len(stream)], strict=True)]
    assert assembled(pieces) == assembled([stream])
