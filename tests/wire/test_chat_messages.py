"""Messages of the chat dialect: which of them are the same, and what they mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drawbar.wire import CHAT
from drawbar.wire.dialect import BadBody
from drawbar.wire.message import Media, Other, Reasoning, Text, ToolResult, ToolUse


def raw(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def call(arguments: Any, id: str = "c1", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "search", "arguments": arguments}, **more}


SAME = [
    (
        "a text and a list of one",
        raw(role="user", content="hi"),
        raw(role="user", content=[{"type": "text", "text": "hi"}]),
    ),
    (
        "a cache mark",
        raw(role="user", content=[{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]),
        raw(role="user", content="hi"),
    ),
    ("a cache mark on the message", raw(role="system", content="x", cache_control={}), raw(role="system", content="x")),
    (
        "null, missing and empty",
        raw(role="assistant", content=None, tool_calls=[call("{}")], refusal=None, annotations=[]),
        raw(role="assistant", content="", tool_calls=[call("{}")]),
    ),
    (
        "missing content",
        raw(role="assistant", tool_calls=[call("{}")]),
        raw(role="assistant", content=[], tool_calls=[call("{}")]),
    ),
    (
        "arguments written anew",
        raw(role="assistant", content=None, tool_calls=[call('{"b": 1, "a":[2]}')]),
        raw(role="assistant", content=None, tool_calls=[call('{"a":[2],"b":1}')]),
    ),
    ("no arguments", raw(role="assistant", tool_calls=[call("")]), raw(role="assistant", tool_calls=[call("{}")])),
    (
        "reasoning",
        raw(role="assistant", content="a", reasoning_content="hm", reasoning="hm"),
        raw(role="assistant", content="a"),
    ),
    (
        "reasoning in blocks",
        raw(role="assistant", content=[{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]),
        raw(role="assistant", content="a"),
    ),
    ("white space around a text", raw(role="assistant", content="\na "), raw(role="assistant", content="a")),
    (
        "a name that a framework adds to a reply",
        raw(role="assistant", content="a", name="bot"),
        raw(role="assistant", content="a"),
    ),
    (
        "an index left in a call",
        raw(role="assistant", tool_calls=[call("{}", index=0)]),
        raw(role="assistant", tool_calls=[call("{}")]),
    ),
    (
        "a tool's name beside its call's id",
        raw(role="tool", tool_call_id="c1", name="search", content="r"),
        raw(role="tool", tool_call_id="c1", content="r"),
    ),
]

DIFFERENT = [
    ("roles", raw(role="user", content="hi"), raw(role="system", content="hi")),
    ("words", raw(role="user", content="hi"), raw(role="user", content="ho")),
    (
        "ids of calls",
        raw(role="assistant", tool_calls=[call("{}")]),
        raw(role="assistant", tool_calls=[call("{}", "c2")]),
    ),
    (
        "results of calls",
        raw(role="tool", tool_call_id="c1", content="r"),
        raw(role="tool", tool_call_id="c2", content="r"),
    ),
    (
        "arguments",
        raw(role="assistant", tool_calls=[call('{"a":1}')]),
        raw(role="assistant", tool_calls=[call('{"a":2}')]),
    ),
    (
        "broken arguments",
        raw(role="assistant", tool_calls=[call('{"a"')]),
        raw(role="assistant", tool_calls=[call('{"b"')]),
    ),
    ("speakers", raw(role="user", content="hi", name="a"), raw(role="user", content="hi", name="b")),
    ("refusals", raw(role="assistant", content=None, refusal="no"), raw(role="assistant", content=None)),
    (
        "pictures",
        raw(role="user", content=[{"type": "image_url", "image_url": {"url": "http://a"}}]),
        raw(role="user", content=[{"type": "image_url", "image_url": {"url": "http://b"}}]),
    ),
]


@pytest.mark.parametrize(("one", "other"), [pair[1:] for pair in SAME], ids=[pair[0] for pair in SAME])
def test_the_same_said_otherwise_is_the_same(one: bytes, other: bytes) -> None:
    assert CHAT.canonical(one) == CHAT.canonical(other)


@pytest.mark.parametrize(("one", "other"), [pair[1:] for pair in DIFFERENT], ids=[pair[0] for pair in DIFFERENT])
def test_what_means_something_else_is_another(one: bytes, other: bytes) -> None:
    assert CHAT.canonical(one) != CHAT.canonical(other)


@pytest.mark.parametrize(
    "odd",
    [
        raw(role="user", content=7),
        raw(role=None, content={"a": 1}),
        raw(role="assistant", tool_calls="x"),
        raw(role="assistant", tool_calls=[1, None, {}]),
        raw(role="assistant", tool_calls=[{"id": 1, "custom": {"name": "x", "input": "y"}}]),
        b'{"role":"user","content":"\\ud83d"}',
        b'{"role":"user","content":' + b"[" * 199 + b"]" * 199 + b"}",
        raw(role="user", content=[[1], "a", None]),
        raw(role="user", content=[{"type": ["text"]}, {"type": {}}]),
    ],
)
def test_odd_messages_are_taken_as_they_are(odd: bytes) -> None:
    assert CHAT.canonical(odd) == CHAT.canonical(odd)
    CHAT.normal(odd)


@pytest.mark.parametrize("bad", [b"[]", b'"x"', b"{", b"null"])
def test_what_is_no_object_is_no_message(bad: bytes) -> None:
    with pytest.raises(BadBody):
        CHAT.canonical(bad)
    with pytest.raises(BadBody):
        CHAT.normal(bad)


def test_a_reply_has_reasoning_words_and_calls() -> None:
    message = CHAT.normal(raw(role="assistant", content="a", reasoning_content="hm", tool_calls=[call('{"q":1}')]))
    assert message.role == "assistant"
    assert message.blocks == (Reasoning("hm"), Text("a"), ToolUse("c1", "search", {"q": 1}, '{"q":1}'))


def test_arguments_that_are_no_object_are_kept_raw() -> None:
    (use,) = CHAT.normal(raw(role="assistant", tool_calls=[call("[1")])).tool_uses
    assert (use.arguments, use.raw) == (None, "[1")


def test_a_result_names_its_call() -> None:
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert CHAT.normal(raw(role="tool", tool_call_id="c1", content=blocks)).blocks == (ToolResult("c1", "ab"),)


def test_a_developers_message_is_the_systems() -> None:
    assert CHAT.normal(raw(role="developer", content="x")).role == "system"


def test_pictures_sounds_and_unknown_blocks_are_kept() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
        {"type": "hologram", "x": 1},
    ]
    assert CHAT.normal(raw(role="user", content=content)).blocks == (
        Media("image_url", "data:image/png;base64,AA"),
        Media("input_audio", "data:audio/mp3;base64,AA"),
        Other({"type": "hologram", "x": 1}),
    )
