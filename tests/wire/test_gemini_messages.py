"""Contents of the gemini dialect: which of them are the same, and what they mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import GEMINI
from drawbar.wire.dialect import BadBody
from drawbar.wire.message import Block, Media, Other, Reasoning, Text, ToolResult, ToolUse

SIGNED = {"thoughtSignature": "c2ln"}
THOUGHT = {"text": "hm", "thought": True}


def raw(role: str | None, *parts: Any, **more: Any) -> bytes:
    found = [{"text": part} if isinstance(part, str) else part for part in parts]
    return json.dumps({**({} if role is None else {"role": role}), "parts": found, **more}).encode()


def call(args: Any = None, id: str | None = "c1", name: str = "search", **more: Any) -> dict[str, Any]:
    return {"functionCall": {"id": id, "name": name, "args": args}, **more}


def result(response: Any, id: str | None = "c1", name: str = "search", **more: Any) -> dict[str, Any]:
    return {"functionResponse": {"id": id, "name": name, "response": response, **more}}


def image(data: str, mime: str = "image/png") -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime, "data": data}}


SAME = {
    "a missing role is the user's": (raw(None, "hi"), raw("user", "hi")),
    "a role in capitals": (raw("USER", "hi"), raw("user", "hi")),
    "a role of its own for results": (raw("function", result({"output": "r"})), raw("user", result({"output": "r"}))),
    "one part and a list of one": (b'{"role":"user","parts":{"text":"hi"}}', raw("user", "hi")),
    "names in snake_case": (
        raw("model", {"function_call": {"name": "search", "args": {"a_b": 1}, "id": "c1"}, "thought_signature": "x"}),
        raw("model", call({"a_b": 1})),
    ),
    "both ways to write names at once": (
        raw("user", {"inlineData": {"mime_type": "image/png", "data": "AA"}}),
        raw("user", {"inline_data": {"mimeType": "image/png", "data": "AA"}}),
    ),
    "two alphabets of base64": (raw("model", image("+/+/AA==")), raw("model", image("-_-_AA"))),
    "a result's files in two alphabets": (
        raw("user", result({}, parts=[image("+/+/")])),
        raw("user", result({}, parts=[image("-_-_")])),
    ),
    "a thought that is left out": (raw("model", THOUGHT, "a", call()), raw("model", "a", call())),
    "a thought between words": (raw("model", "a", THOUGHT, "b"), raw("model", "ab")),
    "signatures": (raw("model", call({"q": 1}, **SIGNED), {"text": "", **SIGNED}), raw("model", call({"q": 1}))),
    "words as the stream cut them": (raw("model", "a ", "b", call()), raw("model", "a b", call())),
    "white space around words": (raw("model", "\na ", call()), raw("model", "a", call())),
    "arguments in another order": (raw("model", call({"a": 1, "b": [2]})), raw("model", call({"b": [2], "a": 1}))),
    "no arguments": (raw("model", call()), raw("model", call({}))),
    "null and missing": (
        raw("model", {"text": "a", "videoMetadata": None}, {"functionCall": {"name": "f", "id": None, "args": None}}),
        raw("model", "a", {"functionCall": {"name": "f"}}),
    ),
    "no parts": (b'{"role":"model"}', raw("model")),
    "a system instruction with and without a role": (
        b'{"systemInstruction":{"role":"user","parts":[{"text":"be"}]}}',
        b'{"systemInstruction":{"parts":[{"text":"be"}]}}',
    ),
    "a system instruction and a system content": (
        b'{"systemInstruction":{"parts":{"text":"be"}}}',
        raw("system", "be"),
    ),
    "what a model's content holds beside its parts": (raw("model", "a", x=1), raw("model", "a")),
}

DIFFERENT = {
    "roles": (raw("user", "hi"), raw("model", "hi")),
    "a system instruction and what a user says": (
        b'{"systemInstruction":{"parts":[{"text":"hi"}]}}',
        raw("user", "hi"),
    ),
    "words": (raw("user", "hi"), raw("user", "ho")),
    "a user's texts": (raw("user", "a", "b"), raw("user", "ab")),
    "words before and after a call": (raw("model", "a", call(), "b"), raw("model", "ab", call())),
    "ids of calls": (raw("model", call()), raw("model", call(id="c2"))),
    "an id that a client drops (AI-SDK's Google provider)": (raw("model", call()), raw("model", call(id=None))),
    "arguments": (raw("model", call({"q": 1})), raw("model", call({"q": 2}))),
    "names of arguments": (raw("model", call({"a_b": 1})), raw("model", call({"aB": 1}))),
    "tools": (raw("model", call(name="a")), raw("model", call(name="b"))),
    "results": (raw("user", result({"output": "a"})), raw("user", result({"output": "b"}))),
    "results of calls": (raw("user", result({})), raw("user", result({}, id="c2"))),
    "pictures": (raw("user", image("AA")), raw("user", image("BB"))),
    "what is asked of a picture": (raw("user", {**image("AA"), "videoMetadata": {"fps": 1}}), raw("user", image("AA"))),
    "code that the provider ran": (
        raw("model", {"executableCode": {"code": "1"}}),
        raw("model", {"executableCode": {"code": "2"}}),
    ),
    "parts that nobody knows": (raw("model", {"hologram": 1}), raw("model", {"hologram": 2})),
    "a user's content's other fields": (raw("user", "a", x=1), raw("user", "a")),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_the_same_said_otherwise_is_the_same(one: bytes, other: bytes) -> None:
    assert GEMINI.canonical(one) == GEMINI.canonical(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_means_something_else_is_another(one: bytes, other: bytes) -> None:
    assert GEMINI.canonical(one) != GEMINI.canonical(other)


NAMES = ["text", "thought", "thoughtSignature", "functionCall", "functionResponse", "inlineData", "file_data", "parts",
         "args", "response", "name", "id", "data", "mimeType", "role", "output", "error", "x"]  # fmt: skip
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)


@given(ANY, ANY)
def test_odd_messages_are_taken_as_they_are(role: Any, parts: Any) -> None:
    for odd in ({"role": role, "parts": parts}, {"systemInstruction": parts}):
        message = json.dumps(odd).encode()
        assert GEMINI.canonical(message) == GEMINI.canonical(message)
        GEMINI.normal(message)


@pytest.mark.parametrize("kind", ["functionResponse", "x"])
def test_deep_messages_are_taken_as_they_are(kind: str) -> None:
    deep = b'{"parts":[{"%b":' % kind.encode() * 60 + b"{}" + b"}]}" * 60
    GEMINI.canonical(deep)
    GEMINI.normal(deep)


@pytest.mark.parametrize("bad", [b"[]", b'"x"', b"{", b"null"])
def test_what_is_no_object_is_no_message(bad: bytes) -> None:
    with pytest.raises(BadBody):
        GEMINI.canonical(bad)
    with pytest.raises(BadBody):
        GEMINI.normal(bad)


def blocks(*parts: Any, role: str = "model") -> tuple[Block, ...]:
    return GEMINI.normal(raw(role, *parts)).blocks


def test_a_reply_has_reasoning_words_and_calls() -> None:
    message = GEMINI.normal(raw("model", {**THOUGHT, **SIGNED}, "a", call({"q": 1})))
    assert message.role == "assistant"
    assert message.blocks == (Reasoning("hm", "c2ln"), Text("a"), ToolUse("c1", "search", {"q": 1}, '{"q":1}'))


def test_a_signature_on_a_call_is_of_the_thought_before_it() -> None:
    assert blocks(call({}, **SIGNED)) == (Reasoning("", "c2ln"), ToolUse("c1", "search", {}, "{}"))


def test_calls_without_ids_are_told_apart_by_tool_and_order() -> None:
    message = GEMINI.normal(raw("model", call(id=None), call(id=None, name="f"), call(id=None)))
    assert [use.id for use in message.tool_uses] == ["search#0", "f#0", "search#1"]


def test_results_without_ids_find_their_calls_by_the_same_rule() -> None:
    message = GEMINI.normal(raw("user", result({"output": "a"}, None), result({"output": "b"}, None)))
    assert message.role == "tool"
    assert message.blocks == (ToolResult("search#0", "a"), ToolResult("search#1", "b"))


def test_arguments_that_are_no_object_are_kept_raw() -> None:
    assert blocks(call([1])) == (ToolUse("c1", "search", None, "[1]"),)


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "a"}, "a", False),
        ({"result": "a"}, "a", False),
        ({"output": {"x": 1}}, '{"x":1}', False),
        ({"error": "no"}, "no", True),
        ({"error": None, "output": "a"}, "a", False),
        ({"x": 1, "output": "a"}, '{"x":1,"output":"a"}', False),
        ({"content": [{"x": 1}], "isError": True}, '{"content":[{"x":1}],"isError":true}', True),
        ({}, "", False),
        (None, "", False),
        ("a", "a", False),
    ],
)  # fmt: skip
def test_a_results_words_are_found(response: Any, text: str, is_error: bool) -> None:
    assert blocks(result(response), role="user") == (ToolResult("c1", text, is_error),)


def test_files_beside_a_results_words_are_kept() -> None:
    message = GEMINI.normal(raw("user", result({"output": "a"}, parts=[image("-_AA")])))
    assert message.role == "tool"
    assert message.blocks == (ToolResult("c1", "a"), Media("inlineData", "data:image/png;base64,+/AA"))


def test_results_beside_words_are_the_users() -> None:
    assert GEMINI.normal(raw("user", result({}), "go on")).role == "user"


def test_pictures_files_code_and_unknown_parts_are_kept() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1+1"}}
    ran = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}
    found = blocks(image("AA"), {"file_data": {"file_uri": "gs://x", "mime_type": "a/b"}}, code, ran, {"x": 1})
    assert found == (
        Media("inlineData", "data:image/png;base64,AA"),
        Media("fileData", "gs://x"),
        Other(code),
        Other(ran),
        Other({"x": 1}),
    )


def test_a_system_instruction_is_the_systems() -> None:
    message = GEMINI.normal(b'{"systemInstruction":{"role":"user","parts":[{"text":"be"}]}}')
    assert (message.role, message.text) == ("system", "be")
