"""The messages dialect on native bodies: each is a request, its answer, and the same answer as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawbar.wire import MESSAGES
from drawbar.wire.dialect import Assembler, BadBody, Response, Usage
from drawbar.wire.message import Media, Other, Reasoning, Text, ToolResult, ToolUse
from drawbar.wire.sse import EventSplitter, payload

GOLDEN = Path(__file__).parent / "golden" / "messages"
NAMES = sorted(path.name.removesuffix(".request.json") for path in GOLDEN.glob("*.request.json"))
ALL = pytest.mark.parametrize("name", NAMES)


def request_of(name: str) -> bytes:
    return (GOLDEN / f"{name}.request.json").read_bytes()


def answer_of(name: str) -> bytes:
    return (GOLDEN / f"{name}.response.json").read_bytes()


def stream_of(name: str) -> bytes:
    return (GOLDEN / f"{name}.stream.sse").read_bytes()


def assembled(parts: Iterable[bytes]) -> Assembler:
    splitter, assembler = EventSplitter(), MESSAGES.assembler()
    for part in parts:
        for event in splitter.feed(part):
            if (data := payload(event)) is not None:
                assert not assembler.feed(data)
    return assembler


def told(response: Response) -> tuple[Any, Any, Response]:
    """What a response says, without the accidents of how its JSON is written."""
    message = None if response.message is None else json.loads(response.message)
    return message, json.loads(response.envelope), replace(response, message=None, envelope=b"")


@ALL
def test_a_request_is_split_into_all_that_it_holds(name: str) -> None:
    sent = json.loads(request_of(name))
    request = MESSAGES.split(request_of(name))
    found = {**json.loads(request.envelope), "model": request.model}
    messages = [json.loads(message) for message in request.messages]
    if "system" in sent:
        assert messages[0]["role"] == "system"
        found["system"] = messages.pop(0)["content"]
    if "stream" in sent:
        found["stream"] = request.stream
    if request.tools is not None:
        found["tools"] = json.loads(request.tools)
    assert {**found, "messages": messages} == sent


@ALL
def test_an_answer_is_split_into_all_that_it_holds(name: str) -> None:
    sent = json.loads(answer_of(name))
    response = MESSAGES.response(answer_of(name))
    assert response.message is not None
    assert {**json.loads(response.message), **json.loads(response.envelope)} == sent
    assert json.loads(response.message) == {"role": "assistant", "content": sent["content"]}
    assert (response.finish, response.names) == (sent["stop_reason"], (sent["id"],))


@ALL
def test_a_stream_is_the_answer_that_it_is_pieces_of(name: str) -> None:
    assembler = assembled([stream_of(name)])
    assert (assembler.ended, assembler.done, assembler.error) == (True, True, None)
    assert told(assembler.response()) == told(MESSAGES.response(answer_of(name)))


@ALL
def test_an_answer_and_its_stream_are_the_same_node(name: str) -> None:
    whole, streamed = MESSAGES.response(answer_of(name)).message, assembled([stream_of(name)]).response().message
    assert whole is not None
    assert streamed is not None
    assert MESSAGES.canonical(whole) == MESSAGES.canonical(streamed)


@given(st.data())
def test_any_split_of_the_bytes_gives_the_same_answer(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    stream = stream_of(name).replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n"])))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert told(assembled(parts).response()) == told(MESSAGES.response(answer_of(name)))


@given(st.data())
@settings(max_examples=200)
def test_a_stream_that_is_cut_gives_the_beginning_of_the_answer(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    stream = stream_of(name)
    assembler = assembled([stream[: data.draw(st.integers(0, len(stream)))]])
    response = assembler.response()
    assert assembler.error is None
    if response.message is None:
        assert not assembler.ended
        return
    whole = MESSAGES.normal(MESSAGES.response(answer_of(name)).message or b"")
    seen = MESSAGES.normal(response.message)
    assert whole.text.startswith(seen.text)
    assert whole.reasoning.startswith(seen.reasoning)
    assert [use.id for use in whole.tool_uses][: len(seen.tool_uses)] == [use.id for use in seen.tool_uses]
    assert not assembler.done or seen == whole


@given(st.data())
@settings(max_examples=300)
def test_a_body_that_something_happened_to_is_read_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    for read in (_read_request, _read_answer, _read_stream):
        body = {_read_request: request_of, _read_answer: answer_of, _read_stream: stream_of}[read](name)
        start = data.draw(st.integers(0, len(body)))
        end = start + data.draw(st.integers(0, 40))
        with suppress(BadBody):
            read(body[:start] + data.draw(st.binary(max_size=6)) + body[end:])


def _read_request(body: bytes) -> None:
    for message in MESSAGES.split(body).messages:
        _read(message)


def _read_answer(body: bytes) -> None:
    _read(MESSAGES.response(body).message)


def _read_stream(body: bytes) -> None:
    _read(assembled([body]).response().message)


def _read(message: bytes | None) -> None:
    if message is not None:
        MESSAGES.canonical(message)
        MESSAGES.normal(message)


def test_the_turn_ends_with_its_stop_reason_and_the_stream_with_its_last_event() -> None:
    *before, delta, stop = [event for event in stream_of("agent_first").split(b"\n\n") if event]
    assembler = assembled([event + b"\n\n" for event in before])
    assert (assembler.ended, assembler.done) == (False, False)
    assembler.feed(payload(delta) or b"")
    assert (assembler.ended, assembler.done) == (True, False)
    assembler.feed(payload(stop) or b"")
    assert (assembler.ended, assembler.done) == (True, True)


def test_the_next_request_begins_with_the_one_before_and_its_reply() -> None:
    """The cache mark has moved, a text in a list carried it, the input's keys stand in another order."""
    first, second = MESSAGES.split(request_of("agent_first")), MESSAGES.split(request_of("agent_second"))
    reply = MESSAGES.response(answer_of("agent_first")).message
    assert reply is not None
    history = [*first.messages, reply]
    assert history != list(second.messages[: len(history)])
    assert [MESSAGES.canonical(said) for said in history] == [
        MESSAGES.canonical(said) for said in second.messages[: len(history)]
    ]


def test_a_reply_that_thinks_and_calls_is_read() -> None:
    message = MESSAGES.normal(MESSAGES.response(answer_of("agent_first")).message or b"")
    thinking, text, one, other = message.blocks
    assert message.role == "assistant"
    assert thinking == Reasoning("I need both heights. Two searches at once.", "EqMBCkYIBxgCKkDz1s5bq0Zs")
    assert text == Text("I'll look up both.")
    assert isinstance(one, ToolUse)
    assert (one.id, one.name) == ("toolu_01A", "mcp__wiki__wiki_search")
    assert one.arguments == {"query": "Zugspitze height", "limit": 3}
    assert isinstance(other, ToolUse)
    assert other.arguments == {"query": "Watzmann „höhe“"}


def test_results_as_a_text_and_as_blocks_are_read() -> None:
    message = MESSAGES.normal(MESSAGES.split(request_of("agent_second")).messages[-1])
    assert message.role == "tool"
    assert message.blocks == (
        ToolResult("toolu_01A", "Zugspitze: 2,962 m"),
        ToolResult("toolu_01B", "Watzmann: 2,713 m"),
    )


def test_pictures_and_documents_are_read() -> None:
    blocks = MESSAGES.normal(MESSAGES.split(request_of("picture")).messages[0]).blocks
    assert blocks == (
        Media("image", "data:image/png;base64,iVBORw0KGgo="),
        Media("image", "https://example.org/a.png"),
        Media("document", "data:text/plain,The%20grass%20is%20green."),
        Media("document", "data:application/pdf;base64,JVBERi0="),
        Text("What is in these?"),
    )


def test_the_providers_own_tools_are_kept_as_they_came() -> None:
    message = MESSAGES.response(answer_of("server_tools")).message or b""
    _, use, result, _ = MESSAGES.normal(message).blocks
    content = json.loads(message)["content"]
    assert (use, result) == (Other(content[1]), Other(content[2]))


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("hello", Usage(21, 14, 0)),
        ("agent_first", Usage(9 + 14203, 131, 0, 18)),
        ("agent_second", Usage(11 + 14203 + 402, 29, 14203)),
        ("server_tools", Usage(10682, 510, 0)),
    ],
)
def test_a_prompt_counts_with_what_was_read_from_the_cache_and_written_to_it(name: str, counts: Usage) -> None:
    assert MESSAGES.response(answer_of(name)).usage == counts
