"""Requests of every dialect as chat, and answers written as whole and as streams: the same either way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import DIALECTS, TRANSLATORS
from drawbar.wire.dialect import BadBody
from drawbar.wire.translator import Chat, Said, events_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ARGUMENTS = st.dictionaries(st.sampled_from(["query", "n"]), TEXTS | st.integers(-5, 5), max_size=2)
CALLS = st.lists(st.tuples(st.sampled_from(["search", "look"]), ARGUMENTS), max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "text", "user", "function", "tool_use"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([
            "type", "role", "content", "parts", "text", "name", "tools", "input", "functionCall",
            "functionDeclarations", "parameters", "output", "id", "arguments", "source", "summary", "candidates",
            "choices", "message", "usage",
        ]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


def said(text: str, reasoning: str, wanted: list[tuple[str, dict[str, Any]]]) -> Said:
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if reasoning:
        message["reasoning_content"] = reasoning
    if wanted:
        message["tool_calls"] = [
            {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for n, (name, arguments) in enumerate(wanted)
        ]
    return Said(message, "m", 10, 5, "1", 1)


@pytest.mark.parametrize("name", DIALECTS)
@given(text=TEXTS, reasoning=TEXTS, wanted=CALLS)
def test_an_answer_says_the_same_whole_and_streamed(
    name: str, text: str, reasoning: str, wanted: list[tuple[str, dict[str, Any]]]
) -> None:
    dialect, translator = DIALECTS[name], TRANSLATORS[name]
    reply = said(text, reasoning, wanted)
    answer = translator.answer(reply, Chat([], []))
    whole = dialect.response(json.dumps(answer).encode())
    assembler = dialect.assembler()
    for payload in translator.events(answer, b'{"stream_options": {"include_usage": true}}'):
        assembler.feed(payload)
    assert (assembler.ended, assembler.error) == (True, None)
    streamed = assembler.response()
    assert (streamed.finish, streamed.usage) == (whole.finish, whole.usage)
    for response in (whole, streamed):
        message = dialect.normal(response.message or b'{"role":"assistant"}')
        assert (message.text, message.reasoning) == (text, reasoning)
        assert [(use.name, use.arguments) for use in message.tool_uses] == wanted
    if whole.message is not None and streamed.message is not None:
        assert dialect.canonical(whole.message) == dialect.canonical(streamed.message)


@pytest.mark.parametrize("name", DIALECTS)
@given(
    st.fixed_dictionaries(
        {"model": st.just("m")}, optional=dict.fromkeys(["messages", "input", "contents", "tools", "system"], VALUES)
    )
)
def test_any_body_is_read_or_refused(name: str, body: dict[str, Any]) -> None:
    try:
        chat = TRANSLATORS[name].chat(json.dumps(body).encode())
    except BadBody:
        return
    json.dumps([list(chat.messages), list(chat.tools)])


@pytest.mark.parametrize("name", DIALECTS)
@given(st.dictionaries(st.sampled_from(["choices", "content", "output", "candidates", "usage", "status"]), VALUES))
def test_any_answer_of_a_provider_becomes_events(name: str, answer: dict[str, Any]) -> None:
    for payload in events_of(TRANSLATORS[name], json.dumps(answer).encode(), b"{}"):
        assert payload == b"[DONE]" or json.loads(payload) is not None


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    tools = b'[{"functionDeclarations": [{"parameters": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}]}]"
    with pytest.raises(BadBody, match="nested too deeply"):
        TRANSLATORS["gemini"].chat(b'{"contents": [{"parts": []}], "tools": ' + tools + b"}")
