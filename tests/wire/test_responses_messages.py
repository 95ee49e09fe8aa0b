"""Messages of the responses dialect: which of them are the same, and what they mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import RESPONSES
from drawbar.wire.dialect import BadBody
from drawbar.wire.message import Media, Message, Other, Reasoning, Text, ToolResult, ToolUse


def raw(value: Any = None, **fields: Any) -> bytes:
    return json.dumps(fields if value is None else value).encode()


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}], **more}


def call(arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "c1", "name": "search", "arguments": arguments, **more}


def result(output: Any, **more: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "c1", "output": output, **more}


THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
PATCH = {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "{ }"}
SEARCHED = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "a"}}

SAME = [
    (
        "a text and a list of one",
        raw(role="user", content="hi"),
        raw(role="user", content=[{"type": "input_text", "text": "hi"}], type="message"),
    ),
    (
        "ids, states and nulls of a message",
        raw(role="user", content="hi", id="msg_1", status="completed", phase=None),
        raw(role="user", content="hi"),
    ),
    (
        "a cache mark",
        raw(role="user", content=[{"type": "input_text", "text": "hi", "prompt_cache_breakpoint": {}}]),
        raw(role="user", content="hi"),
    ),
    (
        "the usual detail of a picture",
        raw(role="user", content=[{"type": "input_image", "image_url": "u", "detail": "auto", "file_id": None}]),
        raw(role="user", content=[{"type": "input_image", "image_url": "u"}]),
    ),
    ("reasoning", raw([THOUGHT, said("a")]), raw([said("a")])),
    ("a reply as a plain message", raw([said("a", id="msg_1")]), raw([{"role": "assistant", "content": "a"}])),
    ("one message of two texts and two messages", raw([said("a"), said("b")]), raw([{**said(""), "content": [
        {"type": "output_text", "text": "a", "annotations": [{}]},
        {"type": "output_text", "text": "b", "logprobs": []}]}])),
    ("a message that says nothing", raw([said(""), call()]), raw([call()])),
    ("an item alone and a turn of one", raw(call()), raw([call(id="fc_1", status="completed")])),
    ("a role beside a call", raw([call(role="assistant")]), raw([call()])),
    ("arguments written anew", raw([call('{"b": 1, "a":[null]}')]), raw([call('{"a":[null],"b":1}')])),
    ("no arguments", raw([call("")]), raw([call("{}")])),
    ("a call by its own id alone", raw([{**call(), "call_id": None, "id": "c1"}]), raw([call()])),
    ("who called", raw([call(caller={"type": "direct"})]), raw([call()])),
    ("a result and a list of one text", raw(result("r")), raw(result([{"type": "input_text", "text": "r"}]))),
    ("the id of a result", raw(result("r", id="fco_1", status="completed", name="search")), raw(result("r"))),
    ("the id of a search", raw([SEARCHED]), raw([{
        "type": "web_search_call", "action": {"type": "search", "query": "a", "sources": None}}])),
]  # fmt: skip

DIFFERENT = [
    ("roles", raw(role="user", content="hi"), raw(role="developer", content="hi")),
    ("words", raw([said("a")]), raw([said("b")])),
    ("the order of words and calls", raw([said("a"), call()]), raw([call(), said("a")])),
    ("ids of calls", raw([call()]), raw([call(call_id="c2")])),
    ("arguments", raw([call('{"a":null}')]), raw([call("{}")])),
    ("namespaces", raw([call(namespace="wiki")]), raw([call(namespace="web")])),
    ("a free text that looks like arguments", raw([PATCH]), raw([{**PATCH, "input": "{}"}])),
    ("a call and its result", raw(call()), raw(result("r"))),
    ("results", raw(result("r")), raw(result("s"))),
    ("results of two calls", raw(result("r")), raw(result("r", call_id="c2"))),
    ("references", raw([{"id": "msg_1"}]), raw([{"id": "msg_2"}])),
    ("requests for approval", raw([{"type": "mcp_approval_request", "id": "a"}]), raw([{
        "type": "mcp_approval_request", "id": "b"}])),
    ("unknown items", raw([{"type": "hologram", "id": "h1"}]), raw([{"type": "hologram", "id": "h2"}])),
    ("refusals and words", raw([said("no")]), raw([{**said(""), "content": [{"type": "refusal", "refusal": "no"}]}])),
    ("an instruction and a turn", raw(role="system", content="a"), raw([said("a")])),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [pair[1:] for pair in SAME], ids=[pair[0] for pair in SAME])
def test_the_same_said_otherwise_is_the_same(one: bytes, other: bytes) -> None:
    assert RESPONSES.canonical(one) == RESPONSES.canonical(other)


@pytest.mark.parametrize(("one", "other"), [pair[1:] for pair in DIFFERENT], ids=[pair[0] for pair in DIFFERENT])
def test_what_means_something_else_is_another(one: bytes, other: bytes) -> None:
    assert RESPONSES.canonical(one) != RESPONSES.canonical(other)


ODD: list[Any] = [None, 7, "x", [], {}, [1, None], {"type": 3}, [[]], {"a": {"b": None}}]
KINDS: list[Any] = ["message", "reasoning", "function_call", "function_call_output", "custom_tool_call",
         "web_search_call",
         "shell_call", "shell_call_output", "computer_call_output", "hologram", "", None, 7, [], {}]  # fmt: skip
NAMES = ["id", "role", "content", "summary", "arguments", "input", "output", "call_id", "name", "namespace", "status",
         "action", "encrypted_content"]  # fmt: skip
PART = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["input_text", "output_text", "refusal", "reasoning_text", "input_image", "input_file",
                                 "input_audio", "x", None, []]),
        "text": st.sampled_from([*ODD, "a"]), "image_url": st.sampled_from(ODD), "input_audio": st.sampled_from(ODD),
    },
)  # fmt: skip
ITEM = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from([*ODD, "assistant", "user"]) | st.lists(PART), max_size=6),
)


@given(ITEM | st.lists(ITEM | st.sampled_from(ODD), max_size=3))
def test_odd_messages_are_taken_as_they_are(odd: Any) -> None:
    assert RESPONSES.canonical(raw(odd)) == RESPONSES.canonical(raw(odd))
    RESPONSES.normal(raw(odd))


@pytest.mark.parametrize("deep", [b"[" * 600 + b"]" * 600, b'{"type":"x","a":' + b"[" * 600 + b"]" * 600 + b"}"])
def test_what_is_nested_too_deeply_is_refused_and_no_worse(deep: bytes) -> None:
    for read in (RESPONSES.canonical, RESPONSES.normal):
        try:
            read(deep)
        except BadBody:
            continue


@pytest.mark.parametrize("bad", [b'"x"', b"7", b"{", b"null"])
def test_what_is_no_object_is_no_message(bad: bytes) -> None:
    with pytest.raises(BadBody):
        RESPONSES.canonical(bad)
    with pytest.raises(BadBody):
        RESPONSES.normal(bad)


def test_half_an_emoji_is_still_read() -> None:
    assert RESPONSES.canonical(b'{"role":"user","content":"a\\ud83d"}')


def test_a_turn_has_reasoning_words_and_calls_in_their_order() -> None:
    thought = {**THOUGHT, "summary": [{"type": "summary_text", "text": "hm"}, {"type": "summary_text", "text": "so"}]}
    message = RESPONSES.normal(raw([thought, said("a"), call('{"q":1}'), call("[1", call_id="c2")]))
    assert message == Message(
        "assistant",
        (
            Reasoning("hm\n\nso", "gAAA"),
            Text("a"),
            ToolUse("c1", "search", {"q": 1}, '{"q":1}'),
            ToolUse("c2", "search", None, "[1"),
        ),
    )


def test_reasoning_in_the_models_own_words_is_read_before_its_summary() -> None:
    thought = {**THOUGHT, "content": [{"type": "reasoning_text", "text": "hm"}], "encrypted_content": None}
    assert RESPONSES.normal(raw([thought])).blocks == (Reasoning("hm"),)


@pytest.mark.parametrize("namespace", ["mcp__wiki", "mcp__wiki__"])
def test_a_tool_in_a_namespace_has_both_in_its_name(namespace: str) -> None:
    (use,) = RESPONSES.normal(raw([call(namespace=namespace)])).tool_uses
    assert use.name == "mcp__wiki__search"


def test_a_tool_that_takes_free_text_is_called_with_it() -> None:
    (use,) = RESPONSES.normal(raw([{**PATCH, "input": "*** Begin"}])).tool_uses
    assert use == ToolUse("c1", "apply_patch", None, "*** Begin")


def test_tools_that_every_model_knows_are_calls_too() -> None:
    action = {"type": "exec", "command": ["ls"]}
    (use,) = RESPONSES.normal(raw([{"type": "local_shell_call", "call_id": "c1", "action": action}])).tool_uses
    assert (use.id, use.name, use.arguments) == ("c1", "local_shell", action)
    done = RESPONSES.normal(raw(type="apply_patch_call_output", call_id="c1", status="failed", output="no such file"))
    assert done == Message("tool", (ToolResult("c1", "no such file", is_error=True),))


def test_what_the_provider_did_itself_is_kept_as_it_came() -> None:
    assert RESPONSES.normal(raw([SEARCHED])).blocks == (Other(SEARCHED),)


def test_a_result_names_its_call_and_keeps_its_pictures() -> None:
    output = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:image/png;base64,AA"}]
    assert RESPONSES.normal(raw(result(output))) == Message(
        "tool", (ToolResult("c1", "a"), Media("input_image", "data:image/png;base64,AA"))
    )
    assert RESPONSES.normal(raw(result("r"))).blocks == (ToolResult("c1", "r"),)


def test_a_result_of_another_shape_is_read_as_it_is_written() -> None:
    shell = {"type": "shell_call_output", "call_id": "c1", "output": [{"stdout": "a", "stderr": ""}]}
    assert RESPONSES.normal(raw(shell)).blocks == (ToolResult("c1", '{"stdout":"a","stderr":""}'),)


def test_a_developers_message_is_the_systems() -> None:
    assert RESPONSES.normal(raw(role="developer", content="x")) == Message("system", (Text("x"),))


def test_pictures_files_sounds_and_unknown_parts_are_kept() -> None:
    content = [
        {"type": "input_image", "image_url": "http://a"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
        {"type": "hologram", "x": 1},
    ]
    assert RESPONSES.normal(raw(role="user", content=content)).blocks == (
        Media("input_image", "http://a"),
        Media("input_file", "data:application/pdf;base64,AA"),
        Media("input_image", "file-1"),
        Media("input_audio", "data:audio/mp3;base64,AA"),
        Other({"type": "hologram", "x": 1}),
    )


def test_a_refusal_is_what_the_model_said() -> None:
    assert RESPONSES.normal(raw([{**said(""), "content": [{"type": "refusal", "refusal": "no"}]}])).text == "no"
