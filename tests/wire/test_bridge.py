"""Answers of chat, whole and in chunks, as answers of the other dialects; and requests of those as requests of chat."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import DIALECTS, TRANSLATORS
from drawbar.wire.bridge import Bridge
from drawbar.wire.chat_request import chat_request
from drawbar.wire.dialect import BadBody, Response
from drawbar.wire.translator import Chat

OTHERS = [name for name in DIALECTS if name != "chat"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
SPOKEN = st.lists(st.tuples(st.sampled_from(["reasoning_content", "content"]), TEXT), max_size=6)
CALLS = st.lists(
    st.tuples(st.sampled_from(["search", "look"]), st.dictionaries(st.just("q"), TEXT, max_size=1)), max_size=3
)
FINISHES = {
    "messages": {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"},
    "responses": {"stop": "completed", "length": "max_output_tokens", "content_filter": "content_filter"},
    "gemini": {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"},
}
USAGE = {
    "prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42, "prompt_tokens_details": {"cached_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 5},
}  # fmt: skip


def bridge(dialect: str, **asked: Any) -> Bridge:
    return Bridge(dialect, TRANSLATORS[dialect], Chat(**{"messages": [], "tools": [], **asked}), "m")


def call(at: int, name: str, arguments: str, **more: Any) -> dict[str, Any]:
    return {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def chunks(spoken: list[tuple[str, str]], wanted: list[tuple[str, Any]], finish: str = "stop") -> list[bytes]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({name: text} for name, text in spoken)]
    for at, (name, arguments) in enumerate(wanted):
        written = json.dumps(arguments)
        deltas.append({"tool_calls": [call(at, name, written[:3], index=at)]})
        deltas.append({"tool_calls": [{"index": at, "function": {"arguments": written[3:]}}]})
    found: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    found.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return [*(json.dumps(chunk).encode() for chunk in (*found, {"choices": [], "usage": USAGE})), b"[DONE]"]


def streamed(dialect: str, payloads: list[bytes]) -> Response:
    """The answer as an agent puts it together from its stream."""
    made, assembler = bridge(dialect), DIALECTS[dialect].assembler()
    for payload in payloads:
        for event in made.chunk(payload):
            assembler.feed(event)
    assert not assembler.ended
    for event in made.end():
        assembler.feed(event)
    assert (assembler.ended, assembler.error, made.lost) == (True, None, [])
    return assembler.response()


@pytest.mark.parametrize("dialect", OTHERS)
@given(spoken=SPOKEN, wanted=CALLS)
def test_a_stream_says_what_was_said_in_its_order(
    dialect: str, spoken: list[tuple[str, str]], wanted: list[tuple[str, Any]]
) -> None:
    found = streamed(dialect, chunks(spoken, wanted))
    message = DIALECTS[dialect].normal(found.message or b'{"role":"assistant","content":[],"parts":[]}')
    assert message.text == "".join(text for name, text in spoken if name == "content")
    if dialect != "responses":  # whose reasoning stands in paragraphs
        assert message.reasoning == "".join(text for name, text in spoken if name != "content")
    assert [(use.name, use.arguments) for use in message.tool_uses] == wanted
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.cached_tokens) == (30, 12, 10)


@pytest.mark.parametrize("dialect", OTHERS)
@given(text=TEXT, thought=TEXT, wanted=CALLS)
def test_an_answer_is_the_same_whole_and_streamed(
    dialect: str, text: str, thought: str, wanted: list[tuple[str, Any]]
) -> None:
    spoken = [("reasoning_content", thought), ("content", text)]
    calls = [call(at, name, json.dumps(arguments)) for at, (name, arguments) in enumerate(wanted)]
    said = {"role": "assistant", "content": text, "reasoning_content": thought, "tool_calls": calls}
    body = {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}], "usage": USAGE}
    whole = DIALECTS[dialect].response(bridge(dialect).whole(json.dumps(body).encode()))
    pieces = streamed(dialect, chunks(spoken, wanted))
    assert (whole.finish, whole.usage) == (pieces.finish, pieces.usage)
    assert whole.message is not None
    assert pieces.message is not None
    assert DIALECTS[dialect].canonical(whole.message) == DIALECTS[dialect].canonical(pieces.message)
    assert DIALECTS[dialect].normal(whole.message).reasoning == thought


@pytest.mark.parametrize("dialect", OTHERS)
@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
def test_why_it_ended_is_said_in_the_dialects_words(dialect: str, finish: str) -> None:
    assert streamed(dialect, chunks([("content", "a")], [], finish)).finish == FINISHES[dialect][finish]


@pytest.mark.parametrize("dialect", OTHERS)
def test_words_are_passed_on_as_they_come(dialect: str) -> None:
    made = bridge(dialect)
    told = [b"".join(made.chunk(payload)) for payload in chunks([("content", "one "), ("content", "two")], [])]
    assert b'"one "' in told[1]
    assert b'"two"' in told[2]
    assert b"one" not in b"".join(told[2:])


@pytest.mark.parametrize("dialect", OTHERS)
def test_calls_without_ids_are_given_some_and_missing_counts_are_told(dialect: str) -> None:
    made = bridge(dialect, lost=["a block"], unsaid=["`top_k`"])
    calls = [{"function": {"name": "search", "arguments": "{}"}}] * 2
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": calls}}]}
    answer = DIALECTS[dialect].response(made.whole(json.dumps(body).encode()))
    assert answer.message is not None
    first, second = DIALECTS[dialect].normal(answer.message).tool_uses
    assert first.id != second.id
    assert made.lost == ["a block", "`top_k`", "counts of tokens, which the provider did not give"]


@pytest.mark.parametrize("dialect", OTHERS)
def test_what_is_no_answer_is_refused(dialect: str) -> None:
    with pytest.raises(BadBody, match="no `choices`"):
        bridge(dialect).whole(b'{"object": "error"}')
    with pytest.raises(BadBody, match="not JSON"):
        bridge(dialect).chunk(b"<html>")
    made = bridge(dialect)
    made.chunk(b'{"error": {"message": "overloaded"}}')
    assert made.error == "overloaded"


SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
NAMED = {"type": "function", "function": {"name": "search"}}
HI = {"messages": [{"role": "user", "content": "hi"}]}
SAY: dict[str, dict[str, Any]] = {
    "messages": {"model": "m", **HI}, "responses": {"model": "m", "input": "hi"},
    "gemini": {"contents": [{"parts": [{"text": "hi"}]}]},
}  # fmt: skip


def wanted(dialect: str, **fields: Any) -> Chat:
    return TRANSLATORS[dialect].chat(json.dumps({**SAY[dialect], **fields}).encode())


@pytest.mark.parametrize(
    ("dialect", "fields", "settings"),
    [
        ("messages", {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["X"]},
         {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "stop": ["X"]}),
        ("messages", {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
         {"tool_choice": "required", "parallel_tool_calls": False}),
        ("messages", {"tool_choice": {"type": "tool", "name": "search"}}, {"tool_choice": NAMED}),
        ("messages", {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
         {"response_format": FORMAT}),
        ("messages", {"metadata": {"user_id": "u"}, "thinking": {"type": "disabled"}, "seed": 3}, {"seed": 3}),
        ("responses", {"max_output_tokens": 9, "temperature": 0.5, "parallel_tool_calls": False},
         {"max_tokens": 9, "temperature": 0.5, "parallel_tool_calls": False}),
        ("responses", {"tool_choice": {"type": "function", "name": "search"}}, {"tool_choice": NAMED}),
        ("responses", {"tool_choice": "required", "store": False, "prompt_cache_key": "k", "include": ["a"]},
         {"tool_choice": "required"}),
        ("responses", {"text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}}},
         {"response_format": FORMAT}),
        ("responses", {"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        ("gemini", {"generationConfig": {"maxOutputTokens": 9, "topP": 0.9, "stop_sequences": ["X"], "seed": 1}},
         {"max_tokens": 9, "top_p": 0.9, "stop": ["X"], "seed": 1}),
        ("gemini", {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["search"]}}},
         {"tool_choice": NAMED}),
        ("gemini", {"tool_config": {"function_calling_config": {"mode": "NONE"}}}, {"tool_choice": "none"}),
        ("gemini", {"generationConfig": {"responseSchema": {**SCHEMA, "type": "OBJECT"}}}, {"response_format": FORMAT}),
        ("gemini", {"generationConfig": {"responseMimeType": "application/json"}},
         {"response_format": {"type": "json_object"}}),
    ],
)  # fmt: skip
def test_settings_are_said_in_chat(dialect: str, fields: dict[str, Any], settings: dict[str, Any]) -> None:
    found = wanted(dialect, **fields)
    assert (found.settings, found.lost, found.unsaid) == (settings, (), ())


@pytest.mark.parametrize(
    ("dialect", "fields", "unsaid"),
    [
        ("messages", {"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 9}}, {"`top_k`", "`thinking`"}),
        ("messages", {"output_config": {"effort": "high"}, "new": 1}, {"`output_config.effort`", "`new`"}),
        ("responses", {"reasoning": {"effort": "low"}, "text": {"verbosity": "low"}},
         {"`reasoning.effort`", "`text.verbosity`"}),
        ("responses", {"truncation": "auto", "max_tool_calls": 2, "tool_choice": {"type": "web_search"}},
         {"`truncation`", "`max_tool_calls`", "`tool_choice`"}),
        ("gemini", {"generationConfig": {"topK": 5, "candidateCount": 2, "thinkingConfig": {"thinkingBudget": 7}}},
         {"`topK`", "`candidateCount`", "`thinkingConfig`"}),
        ("gemini", {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a", "b"]}}},
         {"`allowedFunctionNames`"}),
    ],
)  # fmt: skip
def test_what_chat_has_no_word_for_is_named(dialect: str, fields: dict[str, Any], unsaid: set[str]) -> None:
    assert set(wanted(dialect, **fields).unsaid) == unsaid


def body(chat: Chat, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(chat_request(chat, "m", **{"stream": False, **options}))
    return found


def test_a_request_opens_with_one_message_of_the_system() -> None:
    said = [("system", "a"), ("system", "b"), ("user", "hi"), ("system", "c")]
    messages = body(Chat([{"role": role, "content": text} for role, text in said], []))["messages"]
    assert [(it["role"], it["content"]) for it in messages] == [("system", "a\n\nb"), ("user", "hi"), ("user", "c")]


def test_calls_and_results_are_paired_whatever_their_ids() -> None:
    turn: list[dict[str, Any]] = [
        {"role": "assistant", "tool_calls": [call(0, "f", "{}") | {"id": "f#0"}, call(1, "f", "{}") | {"id": "f#1"}]},
        {"role": "tool", "tool_call_id": "f#0", "content": "a"},
        {"role": "tool", "tool_call_id": "f#1", "content": "b"},
    ]
    named: list[dict[str, Any]] = [
        {"role": "assistant", "tool_calls": [call(0, "g", "{}") | {"id": "call_9"}]},
        {"role": "tool", "tool_call_id": "g#0", "content": "c"},
    ]
    messages = body(Chat([*turn, *turn, *named], []))["messages"]
    ids = [c["id"] for message in messages for c in message.get("tool_calls", ())]
    assert len(set(ids)) == 5
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == ids


def test_a_provider_is_asked_in_the_fields_that_it_knows() -> None:
    thought = [{"role": "assistant", "content": "a", "reasoning_content": "hm"}, {"role": "user", "content": "b"}]
    chat = Chat(thought, [], settings={"max_tokens": 9, "tool_choice": "required"})
    newer = body(chat, limit="max_completion_tokens", reasoning=False, stream=True)
    assert newer == {
        "model": "m", "messages": [{"role": "assistant", "content": "a"}, thought[1]], "max_completion_tokens": 9,
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    assert "stream_options" not in body(chat, stream=True, usage=False)


def test_free_texts_are_called_as_texts_and_told_their_grammar() -> None:
    tool = {"type": "custom", "name": "patch", "description": "Patches.", "format": {
        "type": "grammar", "syntax": "lark", "definition": "start: x"}}  # fmt: skip
    used = {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*** Begin"}
    found = wanted("responses", tools=[tool], input=[{"role": "user", "content": "hi"}, used])
    assert found.messages[-1]["tool_calls"][0]["function"]["arguments"] == '{"input":"*** Begin"}'
    assert "lark grammar:\nstart: x" in found.tools[0]["function"]["description"]
