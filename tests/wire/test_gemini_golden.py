"""Exchanges as Google's API has them: request, whole answer, and the chunks of the same answer streamed."""

from __future__ import annotations

import json
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

USER = {"role": "user", "parts": [{"text": "What is the weather in Paris and in Rome?"}]}
WEATHER = {"name": "weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}


class Golden(NamedTuple):
    request: dict[str, Any]
    answer: dict[str, Any]
    chunks: list[dict[str, Any]]
    blocks: tuple[Block, ...]
    usage: Usage


def chunk(*parts: dict[str, Any], usage: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    return {
        "candidates": [candidate if finish is None else {**candidate, "finishReason": finish}],
        "usageMetadata": usage,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "Zr0haMjBOf-mz7IP",
    }


def counts(prompt: int, said: int = 0, thought: int = 0, cached: int = 0) -> dict[str, Any]:
    named = {"promptTokenCount": prompt, "candidatesTokenCount": said, "totalTokenCount": prompt + said + thought,
             "cachedContentTokenCount": cached, "thoughtsTokenCount": thought}  # fmt: skip
    found: dict[str, Any] = {name: count for name, count in named.items() if count}
    return {**found, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}]}


def paris(**more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": "weather", "args": {"city": "Paris"}, "id": "fc-1"}, **more}


ROME = {"functionCall": {"name": "weather", "args": {"city": "Rome"}, "id": "fc-2"}}
PICTURE = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
CODE = {"executableCode": {"language": "PYTHON", "code": "print(6*7)\n"}}
RAN = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}}

GOLDEN = {
    "text": Golden(
        {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [USER],
            "generationConfig": {"temperature": 0.2, "maxOutputTokens": 100},
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        },
        chunk({"text": "Sunny — in “both” {cities}."}, usage=counts(12, 6, cached=8), finish="STOP"),
        [
            chunk({"text": "Sunny"}, usage=counts(12, cached=8)),
            chunk({"text": " — in “both"}, usage=counts(12, 3, cached=8)),
            chunk({"text": "” {cities}."}, usage=counts(12, 6, cached=8), finish="STOP"),
        ],
        (Text("Sunny — in “both” {cities}."),),
        Usage(12, 6, 8),
    ),
    "parallel calls": Golden(
        {"contents": [USER], "tools": [{"functionDeclarations": [WEATHER]}]},
        chunk({"text": "I'll look."}, paris(), ROME, usage=counts(40, 30), finish="STOP"),
        [
            chunk({"text": "I'll"}, usage=counts(40)),
            chunk({"text": " look."}, paris(), usage=counts(40, 20)),
            chunk(ROME, usage=counts(40, 30), finish="STOP"),
        ],
        (
            Text("I'll look."),
            ToolUse("fc-1", "weather", {"city": "Paris"}, '{"city":"Paris"}'),
            ToolUse("fc-2", "weather", {"city": "Rome"}, '{"city":"Rome"}'),
        ),
        Usage(40, 30),
    ),
    "thoughts with signatures": Golden(
        {"contents": [USER], "generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
        chunk(
            {"text": "**Plan**\n\nAsk for both.", "thought": True}, paris(thoughtSignature="CsgBAQ=="), ROME,
            usage=counts(40, 30, thought=65), finish="STOP",
        ),
        [
            chunk({"text": "**Plan**\n\n", "thought": True}, usage=counts(40, thought=20)),
            chunk({"text": "Ask for both.", "thought": True}, usage=counts(40, thought=65)),
            chunk(paris(thoughtSignature="CsgBAQ=="), ROME, usage=counts(40, 30, thought=65)),
            chunk({"text": ""}, usage=counts(40, 30, thought=65), finish="STOP"),
        ],
        (
            Reasoning("**Plan**\n\nAsk for both."),
            Reasoning("", "CsgBAQ=="),
            ToolUse("fc-1", "weather", {"city": "Paris"}, '{"city":"Paris"}'),
            ToolUse("fc-2", "weather", {"city": "Rome"}, '{"city":"Rome"}'),
        ),
        Usage(40, 95, None, 65),
    ),
    "a signed text": Golden(
        {"contents": [USER]},
        chunk({"text": "It rains.", "thoughtSignature": "EqkC"}, usage=counts(9, 3, thought=40), finish="STOP"),
        [
            chunk({"text": "It "}, usage=counts(9, 1, thought=40)),
            chunk({"text": "rains."}, usage=counts(9, 3, thought=40)),
            chunk({"text": "", "thoughtSignature": "EqkC"}, usage=counts(9, 3, thought=40), finish="STOP"),
        ],
        (Reasoning("", "EqkC"), Text("It rains.")),
        Usage(9, 43, None, 40),
    ),
    "pictures": Golden(
        {"contents": [{"role": "user", "parts": [{"text": "Draw it greyer."}, PICTURE]}]},
        chunk({"text": "Here:"}, PICTURE, usage=counts(270, 1290), finish="STOP"),
        [
            chunk({"text": "Here:"}, usage=counts(270)),
            chunk(PICTURE, usage=counts(270, 1290), finish="STOP"),
        ],
        (Text("Here:"), Media("inlineData", "data:image/png;base64,iVBORw0KGgo=")),
        Usage(270, 1290),
    ),
    "code that ran": Golden(
        {"contents": [USER], "tools": [{"codeExecution": {}}]},
        chunk(CODE, RAN, {"text": "It is 42."}, usage=counts(20, 25), finish="STOP"),
        [
            chunk(CODE, usage=counts(20)),
            chunk(RAN, usage=counts(20, 10)),
            chunk({"text": "It is"}, usage=counts(20, 12)),
            chunk({"text": " 42."}, usage=counts(20, 25), finish="STOP"),
        ],
        (Other(CODE), Other(RAN), Text("It is 42.")),
        Usage(20, 25),
    ),
}  # fmt: skip

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
        assembler.feed(json.dumps(chunk(*parts, usage={})).encode())
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
