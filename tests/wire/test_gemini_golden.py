"""Exchanges as Google's API has them: request, whole answer, and the chunks of the same answer streamed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import GEMINI
from drawbar.wire.dialect import BadBody, Response, Usage
from drawbar.wire.json_array import ElementSplitter, element, end
from drawbar.wire.json_array import payload as element_of
from drawbar.wire.message import Block, Media, Other, Reasoning, Text, ToolUse
from drawbar.wire.sse import EventSplitter
from drawbar.wire.sse import payload as data_of

FOLDER = Path(__file__).parent / "golden" / "gemini"
USER = {"role": "user", "parts": [{"text": "What is the weather in Paris and in Rome?"}]}


class Golden(NamedTuple):
    request: dict[str, Any]
    answer: dict[str, Any]
    chunks: list[dict[str, Any]]
    blocks: tuple[Block, ...]
    usage: Usage


def read_golden(name: str, blocks: tuple[Block, ...], usage: Usage) -> Golden:
    """A request, its answer and the same answer as a stream, and what is to be read in it."""
    request, answer = (json.loads((FOLDER / f"{name}.{kind}.json").read_text()) for kind in ("request", "response"))
    events = EventSplitter().feed((FOLDER / f"{name}.stream.sse").read_bytes())
    return Golden(request, answer, [json.loads(data_of(event) or b"") for event in events], blocks, usage)


def chunk(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "index": 0}], "responseId": "Zr0ha"}


PARIS = ToolUse("fc-1", "weather", {"city": "Paris"}, '{"city":"Paris"}')
ROME = ToolUse("fc-2", "weather", {"city": "Rome"}, '{"city":"Rome"}')
CODE = {"executableCode": {"language": "PYTHON", "code": "print(6*7)\n"}}
RAN = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}}
SAID: dict[str, tuple[tuple[Block, ...], Usage]] = {
    "text": ((Text("Sunny — in “both” {cities}."),), Usage(12, 6, 8)),
    "parallel_calls": ((Text("I'll look."), PARIS, ROME), Usage(40, 30)),
    "thoughts_with_signatures": (
        (Reasoning("**Plan**\n\nAsk for both."), Reasoning("", "CsgBAQ=="), PARIS, ROME),
        Usage(40, 95, None, 65),
    ),
    "a_signed_text": ((Reasoning("", "EqkC"), Text("It rains.")), Usage(9, 43, None, 40)),
    "pictures": ((Text("Here:"), Media("inlineData", "data:image/png;base64,iVBORw0KGgo=")), Usage(270, 1290)),
    "code_that_ran": ((Other(CODE), Other(RAN), Text("It is 42.")), Usage(20, 25)),
    "agent_second": ((Text("Sun."),), Usage(80, 2)),
}
GOLDEN = {name: read_golden(name, *said) for name, said in SAID.items()}

golden = pytest.mark.parametrize("case", GOLDEN.values(), ids=GOLDEN.keys())


def as_events(chunks: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def as_array(chunks: list[dict[str, Any]], indent: int | None = 2) -> bytes:
    """As Google writes it: one element after the other, pretty, with commas on lines of their own."""
    return b"[" + b"\n,\r\n".join(json.dumps(chunk, indent=indent).encode() for chunk in chunks) + b"\n]\n"


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted(cut % (len(stream) + 1) for cut in cuts)
    return [stream[start:stop] for start, stop in zip([0, *at], [*at, len(stream)], strict=True)]


def read(pieces: list[bytes], *, array: bool) -> Response:
    splitter = ElementSplitter() if array else EventSplitter()
    assembler = GEMINI.assembler()
    for piece in pieces:
        for event in splitter.feed(piece):
            data = element_of(event) if array else data_of(event)
            if data is not None:
                assembler.feed(data)
    assert assembler.error is None
    assert assembler.ended
    assert splitter.rest().strip() == b""
    return assembler.response()


def known(response: Response) -> tuple[Any, ...]:
    assert response.message is not None
    return json.loads(response.message), response.finish, response.usage, json.loads(response.envelope)


@golden
def test_a_request_is_split_without_loss(case: Golden) -> None:
    request = GEMINI.split(json.dumps(case.request).encode())
    rest = json.loads(request.envelope)
    messages = [json.loads(message) for message in request.messages]
    system = [messages.pop(0)] if "systemInstruction" in case.request else []
    tools = {} if request.tools is None else {"tools": json.loads(request.tools)}
    assert {**rest, **tools, "contents": messages, **(system[0] if system else {})} == case.request


@golden
def test_an_answer_is_read_into_our_types(case: Golden) -> None:
    response = GEMINI.response(json.dumps(case.answer).encode())
    assert response.message is not None
    assert GEMINI.normal(response.message).blocks == case.blocks
    assert (response.finish, response.usage) == ("STOP", case.usage)


@golden
def test_a_stream_is_put_together_into_the_same_answer(case: Golden) -> None:
    whole = known(GEMINI.response(json.dumps(case.answer).encode()))
    assert known(read([as_events(case.chunks)], array=False)) == whole
    assert known(read([as_array(case.chunks)], array=True)) == whole


@golden
def test_the_reply_comes_back_as_the_same_message(case: Golden) -> None:
    response = GEMINI.response(json.dumps(case.answer).encode())
    assert response.message is not None
    chunked = [chunk["candidates"][0]["content"] for chunk in case.chunks]
    thoughtless = {
        "role": "model",
        "parts": [part for part in case.answer["candidates"][0]["content"]["parts"] if not part.get("thought")],
    }
    for again in (chunked, [json.loads(response.message)], [thoughtless]):
        request = GEMINI.split(json.dumps({"contents": [USER, *again, USER]}).encode())
        assert len(request.messages) == 3
        assert GEMINI.canonical(request.messages[1]) == GEMINI.canonical(response.message)


CUTS = st.lists(st.integers(0, 10_000), max_size=10)


@given(st.sampled_from(sorted(GOLDEN)), CUTS, st.booleans(), st.sampled_from([None, 2]))
def test_any_split_of_the_bytes_gives_the_same_answer(
    name: str, cuts: list[int], array: bool, indent: int | None
) -> None:
    case = GOLDEN[name]
    stream = as_array(case.chunks, indent) if array else as_events(case.chunks)
    assert known(read(cut(stream, cuts), array=array)) == known(GEMINI.response(json.dumps(case.answer).encode()))


TEXT = st.text(max_size=6)
PARTS = st.lists(
    st.builds(lambda text, own: {"text": text, **own}, TEXT, st.fixed_dictionaries({}, optional={"own": TEXT})),
    max_size=3,
)
OBJECTS = st.lists(
    st.dictionaries(TEXT, TEXT | st.lists(st.dictionaries(TEXT, TEXT, max_size=2), max_size=2), max_size=3), max_size=4
)


@given(st.lists(PARTS, max_size=4))
def test_no_word_is_lost_however_the_parts_are_cut_into_chunks(chunks: list[list[dict[str, Any]]]) -> None:
    assembler = GEMINI.assembler()
    for parts in chunks:
        assembler.feed(json.dumps(chunk(*parts)).encode())
    response = assembler.response()
    every = [part for parts in chunks for part in parts]
    said = json.loads(response.message)["parts"] if response.message is not None else []
    assert "".join(part["text"] for part in said) == "".join(part["text"] for part in every)
    assert [part["own"] for part in said if "own" in part] == [part["own"] for part in every if "own" in part]


def pieces(*parts: bytes) -> list[bytes]:
    splitter = ElementSplitter()
    found = [piece for part in parts for piece in splitter.feed(part)]
    rest = splitter.rest()
    return [*found, rest] if rest else found


@given(OBJECTS, CUTS, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_an_array_is_cut_where_its_elements_end(
    objects: list[dict[str, Any]], cuts: list[int], indent: int | str | None, escaped: bool
) -> None:
    stream = json.dumps(objects, indent=indent, ensure_ascii=escaped).encode()
    found = pieces(*cut(stream, cuts))
    assert b"".join(found) == stream
    assert [json.loads(data) for piece in found if (data := element_of(piece)) is not None] == objects


def test_an_element_is_there_as_soon_as_it_is_whole() -> None:
    assert pieces(b'[{"a":"]}\\"', b'"}', b',\r\n{"b":[{}]}\n]\n') == [
        b'[{"a":"]}\\""}',
        b',\r\n{"b":[{}]}',
        b"\n]",
        b"\n",
    ]


def test_our_own_elements_make_an_array() -> None:
    data = [b'{"a":1}', b'{"b":2}']
    stream = b"".join(element(item, first=position == 0) for position, item in enumerate(data)) + end(first=False)
    assert json.loads(stream) == [{"a": 1}, {"b": 2}]
    assert json.loads(end(first=True)) == []


def test_an_element_without_end_does_not_fill_the_memory() -> None:
    splitter = ElementSplitter(max_element=10)
    with pytest.raises(BadBody, match="more than 10 bytes"):
        splitter.feed(b'[{"a":"1234567890')
