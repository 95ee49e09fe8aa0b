"""Messages of the messages dialect: which of them are the same, and what they mean."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from drawbar.wire import CHAT, MESSAGES
from drawbar.wire.dialect import BadBody
from drawbar.wire.message import Media, Other, Reasoning, Text, ToolResult, ToolUse

MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}


def raw(role: str, content: Any, **fields: Any) -> bytes:
    return json.dumps({"role": role, "content": content, **fields}).encode()


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def call(given: Any, id: str = "t1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "search", "input": given, **more}


def result(content: Any, id: str = "t1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **more}


def picture(data: str, **more: Any) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}, **more}


THINKING = {"type": "thinking", "thinking": "hm", "signature": "s"}

SAME = [
    ("a text and a list of one", raw("user", "hi"), raw("user", [text("hi")])),
    ("a cache mark", raw("user", [text("hi", **MARK)]), raw("user", "hi")),
    ("a null cache mark", raw("user", [picture("AA", cache_control=None)]), raw("user", [picture("AA")])),
    ("a cache mark on a result", raw("user", [result("r", **MARK)]), raw("user", [result("r")])),
    ("a cache mark inside a result", raw("user", [result([text("r", **MARK)])]), raw("user", [result("r")])),
    ("a cache mark on a call", raw("assistant", [call({}, **MARK)]), raw("assistant", [call({})])),
    ("no error and nothing about it", raw("user", [result("r", is_error=False)]), raw("user", [result("r")])),
    (
        "no content in a result",
        raw("user", [result(None)]),
        raw("user", [{"type": "tool_result", "tool_use_id": "t1"}]),
    ),
    ("an empty content in a result", raw("user", [result([])]), raw("user", [result("")])),
    ("empty texts", raw("assistant", [text(""), call({})]), raw("assistant", [call({})])),
    ("no content", raw("assistant", []), raw("assistant", None)),
    ("white space around a text", raw("assistant", [text("\na ")]), raw("assistant", "a")),
    (
        "an input in another order",
        raw("assistant", [call({"a": 1, "b": {"c": 2, "d": 3}})]),
        raw("assistant", [call({"b": {"d": 3, "c": 2}, "a": 1})]),
    ),
    ("an input as a text", raw("assistant", [call('{"a": 1}')]), raw("assistant", [call({"a": 1})])),
    ("an input left out", raw("assistant", [call(None)]), raw("assistant", [call({})])),
    ("a caller left out", raw("assistant", [call({}, caller={"type": "direct"})]), raw("assistant", [call({})])),
    ("thinking", raw("assistant", [THINKING, text("a")]), raw("assistant", "a")),
    (
        "hidden thinking",
        raw("assistant", [{"type": "redacted_thinking", "data": "x"}, text("a")]),
        raw("assistant", "a"),
    ),
    ("citations left out", raw("assistant", [text("a", citations=[{"x": 1}])]), raw("assistant", [text("a")])),
    ("an answer's own fields sent back", raw("assistant", "a", id="msg_1", type="message"), raw("assistant", "a")),
    (
        "a document's blocks",
        raw("user", [{"type": "document", "source": {"type": "content", "content": [text("a", **MARK)]}}]),
        raw("user", [{"type": "document", "source": {"type": "content", "content": "a"}, "title": None}]),
    ),
]

DIFFERENT = [
    ("roles", raw("user", "hi"), raw("assistant", "hi")),
    ("words", raw("user", "hi"), raw("user", "ho")),
    ("one text and two", raw("user", [text("a"), text("b")]), raw("user", [text("ab")])),
    ("ids of calls", raw("assistant", [call({})]), raw("assistant", [call({}, "t2")])),
    ("ids of results", raw("user", [result("r")]), raw("user", [result("r", "t2")])),
    ("inputs", raw("assistant", [call({"a": 1})]), raw("assistant", [call({"a": 2})])),
    ("inputs with a mark of their own", raw("assistant", [call(MARK)]), raw("assistant", [call({})])),
    ("nulls in inputs", raw("assistant", [call({"a": None})]), raw("assistant", [call({})])),
    ("an input that was cut off", raw("assistant", [call('{"a": ')]), raw("assistant", [call("")])),
    ("an error and a result", raw("user", [result("r", is_error=True)]), raw("user", [result("r")])),
    ("pictures", raw("user", [picture("AA")]), raw("user", [picture("BB")])),
    (
        "the model's call and the provider's",
        raw("assistant", [call({})]),
        raw("assistant", [{**call({}), "type": "server_tool_use"}]),
    ),
    (
        "unknown blocks",
        raw("user", [{"type": "hologram", "x": {"cache_control": 1}}]),
        raw("user", [{"type": "hologram", "x": {}}]),
    ),
    ("settings of a system message", raw("system", "a", clear_at="never"), raw("system", "a")),
]


@pytest.mark.parametrize(("one", "other"), [pair[1:] for pair in SAME], ids=[pair[0] for pair in SAME])
def test_the_same_said_otherwise_is_the_same(one: bytes, other: bytes) -> None:
    assert MESSAGES.canonical(one) == MESSAGES.canonical(other)


@pytest.mark.parametrize(("one", "other"), [pair[1:] for pair in DIFFERENT], ids=[pair[0] for pair in DIFFERENT])
def test_what_means_something_else_is_another(one: bytes, other: bytes) -> None:
    assert MESSAGES.canonical(one) != MESSAGES.canonical(other)


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_plain_words_are_the_same_in_every_dialect(role: str) -> None:
    assert MESSAGES.canonical(raw(role, "hi")) == CHAT.canonical(raw(role, [text("hi")]))


@pytest.mark.parametrize(
    "odd",
    [
        raw("user", 7),
        raw("user", {"a": 1}),
        raw("user", [[1], "a", None, 7, {}]),
        raw("assistant", [{"type": "text"}, {"type": ["x"]}, call([1]), call("[1"), {"type": "tool_use"}]),
        raw("user", [result(7), result([[1], None]), {"type": "tool_result"}, result([result("x")])]),
        raw("user", [{"type": "image", "source": 7}, {"type": "document", "source": {"type": "base64", "data": 7}}]),
        raw("user", [{"type": "thinking", "thinking": 7, "signature": 7}, {"type": "redacted_thinking"}]),
        b"{}",
        b'{"role":null}',
        b'{"role":["x"],"content":"\\ud83d"}',
        b'{"role":"user","content":[{"type":"document","source":{"type":"text","data":"\\ud83d"}}]}',
        b'{"role":"user","content":' + b"[" * 199 + b"]" * 199 + b"}",
    ],
)
def test_odd_messages_are_taken_as_they_are(odd: bytes) -> None:
    assert MESSAGES.canonical(odd) == MESSAGES.canonical(odd)
    MESSAGES.normal(odd)


@pytest.mark.parametrize("bad", [b"[]", b'"x"', b"{", b"null"])
def test_what_is_no_object_is_no_message(bad: bytes) -> None:
    with pytest.raises(BadBody):
        MESSAGES.canonical(bad)
    with pytest.raises(BadBody):
        MESSAGES.normal(bad)


@pytest.mark.parametrize("depth", [200, 400, 480, 900])
def test_results_in_results_without_end_are_refused_and_nothing_worse(depth: int) -> None:
    deep = b'{"type":"tool_result","content":[' * depth + b"]}" * depth
    for read in (MESSAGES.canonical, MESSAGES.normal):
        with suppress(BadBody):
            read(b'{"role":"user","content":[' + deep + b"]}")


def test_thinking_is_read_with_what_its_provider_knows_it_by() -> None:
    content = [THINKING, {"type": "redacted_thinking", "data": "x"}, {"type": "thinking", "thinking": "so"}]
    assert MESSAGES.normal(raw("assistant", content)).blocks == (
        Reasoning("hm", "s"),
        Reasoning("", "x"),
        Reasoning("so"),
    )


def test_an_input_that_is_no_object_is_kept_raw() -> None:
    uses = MESSAGES.normal(raw("assistant", [call('{"a": '), call([1]), call({"a": 1})])).tool_uses
    assert uses == (
        ToolUse("t1", "search", None, '{"a": '),
        ToolUse("t1", "search", None, "[1]"),
        ToolUse("t1", "search", {"a": 1}, '{"a":1}'),
    )


def test_what_a_result_shows_beside_words_follows_it() -> None:
    reference = {"type": "tool_reference", "tool_name": "x"}
    content = [result([text("a"), picture("AA"), text("b"), reference], is_error=True), text("and?")]
    message = MESSAGES.normal(raw("user", content))
    assert message.role == "user"
    assert message.blocks == (
        ToolResult("t1", "ab", is_error=True),
        Media("image", "data:image/png;base64,AA"),
        Other(reference),
        Text("and?"),
    )


def test_files_are_named_and_blocks_that_nobody_knows_kept() -> None:
    content: list[dict[str, Any]] = [
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "content", "content": "a"}},
        {"type": "hologram", "x": 1},
    ]
    assert MESSAGES.normal(raw("user", content)).blocks == (
        Media("document", "file_1"),
        Other(content[1]),
        Other(content[2]),
    )
