"""Chat messages that are read as they stand say the same as their normal form."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import CHAT
from drawbar.wire.chat_writer import chat_messages
from drawbar.wire.plain import plain

WORDS = st.text(max_size=6) | st.sampled_from(["", "{}", '{"a":1}', "[1]", '{"a"', '{"a":"\\ud800"}', " {}"])
CALLS = st.fixed_dictionaries(
    {"id": WORDS, "type": st.just("function"), "function": st.fixed_dictionaries({"name": WORDS, "arguments": WORDS})},
    optional={"index": st.just(0), "extra": st.just(1)},
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "system", "developer", "tool", "assistant", "function", "x"])},
    optional={
        "content": WORDS | st.none() | st.just([{"type": "text", "text": "a"}]),
        "tool_call_id": WORDS,
        "tool_calls": st.lists(CALLS, max_size=2) | st.none(),
        "refusal": st.none() | WORDS,
        "reasoning_content": WORDS,
        "name": WORDS,
    },
)


@given(MESSAGES)
def test_what_is_plain_is_what_the_normal_form_says(message: dict[str, Any]) -> None:
    body = orjson.dumps(message)
    found = plain(body, objects=False)
    if found is not None:
        lost: dict[str, None] = {}
        [written] = chat_messages([CHAT.normal(body)], lost)
        if found["role"] == "assistant" and not found.get("tool_calls"):
            written["content"] = written["content"] or ""
        assert (found, lost) == (written, {})
        objects = plain(body, objects=True)
        assert objects is not None
        uses = CHAT.normal(body).tool_uses
        assert [call["function"]["arguments"] for call in objects.get("tool_calls", ())] == [u.arguments for u in uses]


def _says(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "a", **fields}


def _calls(arguments: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return _says(content=None, tool_calls=[{"id": "c", "type": "function", "function": function}])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "a"},
        {"role": "developer", "content": "a"},
        {"role": "tool", "tool_call_id": "c", "content": "a"},
        _says(),
        _says(refusal=None, annotations=[]),
        _calls('{"a": [1]}'),
    ],
)
def test_common_messages_are_plain(message: dict[str, Any]) -> None:
    assert plain(orjson.dumps(message), objects=True) is not None


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "user", "content": "a", "name": "ada"},
        {"role": "tool", "content": "a"},
        _says(reasoning_content="b"),
        _says(refusal="no"),
        {"role": "assistant", "refusal": "no"},
        _calls("[1]"),
        _calls('{"a"'),
        _calls('{"a":1e999}'),
        _calls('{"a":' + "[" * 300 + "]" * 300 + "}"),
        [],
    ],
)
def test_what_says_more_is_not(message: Any) -> None:
    assert plain(orjson.dumps(message), objects=True) is None
    assert plain(b"{", objects=True) is None
