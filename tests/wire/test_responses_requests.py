"""Requests of the responses dialect: what is read from their bytes, what of them is changed, and what errors say."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI

from drawbar.wire import RESPONSES
from drawbar.wire.dialect import BadBody, Overrides
from drawbar.wire.framing import NAMED_EVENTS
from drawbar.wire.responses import ResponsesDialect

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TAKEN_OUT = ("model", "stream", "tools", "input", "instructions", "previous_response_id", "conversation")
USER = {"role": "user", "content": "hi"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": []}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "r"}
SAID = {"role": "assistant", "content": "a"}


def body(*items: Any, **fields: Any) -> bytes:
    return json.dumps({"model": "m", "input": list(items) or "hi", **fields}).encode()


def messages(*items: Any, **fields: Any) -> list[Any]:
    return [json.loads(message) for message in RESPONSES.split(body(*items, **fields)).messages]


def test_a_request_is_cut_into_slices_of_its_own_bytes() -> None:
    raw = (
        b'{"input": [ {"role":"user",  "content":"a"} ,'
        b'{"type":"reasoning","x":  1} , {"role":"assistant"}], "model":"m"}'
    )
    request = RESPONSES.split(raw)
    assert list(request.messages) == [
        b'{"role":"user",  "content":"a"}',
        b'[{"type":"reasoning","x":  1},{"role":"assistant"}]',
    ]
    assert (request.model, request.stream, request.tools, request.envelope) == ("m", False, None, b"{}")


def test_a_text_is_what_the_user_says_and_instructions_what_the_system_says() -> None:
    request = RESPONSES.split(b'{"model":"m","instructions":"b\\u00e9","input":"a"}')
    assert list(request.messages) == [b'{"role":"system","content":"b\\u00e9"}', b'{"role":"user","content":"a"}']
    assert request.standing == 1


@pytest.mark.parametrize("none", [None, "", []])
def test_no_instructions_are_no_message(none: Any) -> None:
    request = RESPONSES.split(body(instructions=none))
    assert (len(request.messages), request.standing) == (1, 0)


def test_what_the_model_does_in_one_go_is_one_message() -> None:
    search = {"type": "web_search_call", "id": "ws_1"}
    other = {"type": "hologram"}
    assert messages(USER, THOUGHT, SAID, search, other, CALL, RESULT, RESULT, SAID, USER) == [
        USER, [THOUGHT, SAID, search, other, CALL], RESULT, RESULT, [SAID], USER,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["custom_tool_call_output", "mcp_approval_response", "local_shell_call_output"])
def test_what_a_client_answers_stands_alone(kind: str) -> None:
    assert messages(CALL, {"type": kind}, SAID) == [[CALL], {"type": kind}, [SAID]]


def test_outputs_of_what_the_provider_runs_stay_within_the_turn() -> None:
    shell = {"type": "shell_call", "call_id": "s1", "environment": {"type": "container_reference", "container_id": "x"}}
    items = [shell, {"type": "shell_call_output", "call_id": "s1"}, {"type": "program_output"},
             {"type": "tool_search_output", "execution": "server"}, SAID]  # fmt: skip
    assert messages(*items) == [items]
    shell = {"type": "shell_call", "call_id": "s1", "environment": {"type": "local"}}
    assert messages(shell, items[1], SAID) == [[shell], items[1], [SAID]]
    found = {"type": "tool_search_output", "execution": "client"}
    assert messages(found, SAID) == [found, [SAID]]


def test_reasoning_left_of_a_cut_reply_is_no_message_of_its_own() -> None:
    request = RESPONSES.split(body(USER, THOUGHT, store=False))
    assert [json.loads(message) for message in request.messages] == [USER]
    assert json.loads(request.envelope) == {"store": False, "input": [THOUGHT]}
    assert messages(USER, THOUGHT, THOUGHT, CALL, RESULT) == [USER, [THOUGHT, THOUGHT, CALL], RESULT]


def test_namespaces_and_built_in_tools_are_kept_as_they_are() -> None:
    tools = b'[{"type":"namespace", "name":"mcp__wiki","tools":[{"type":"function"}]},{"type":"web_search"}]'
    assert RESPONSES.split(b'{"model":"m","input":"a","tools":' + tools + b"}").tools == tools


@pytest.mark.parametrize(
    ("fields", "previous"),
    [
        ({}, None),
        ({"previous_response_id": "resp_1"}, "resp_1"),
        ({"previous_response_id": None}, None),
        ({"conversation": "conv_1"}, "conv_1"),
        ({"conversation": {"id": "conv_1"}}, "conv_1"),
        ({"conversation": {}}, None),
        ({"previous_response_id": 7}, None),
    ],
)
def test_a_request_says_what_it_goes_on_from(fields: dict[str, Any], previous: str | None) -> None:
    request = RESPONSES.split(body(**fields))
    assert request.previous == previous
    assert json.loads(request.envelope) == fields


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "the body is empty"),
        (b"{", "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"model":"m"}', "`input` is missing"),
        (b'{"model":"m","input":null}', "`input` is empty"),
        (b'{"model":"m","input":[]}', "`input` is empty"),
        (b'{"model":"m","input":{}}', "`input` must be a string or a list"),
        (b'{"model":"m","input":["a"]}', r"`input\[0\]` must be a JSON object"),
        (b'{"input":"a"}', "`model` is missing"),
        (b'{"model":7,"input":"a"}', "`model` must be a string"),
        (b'{"a":' + b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(raw: bytes, said: str) -> None:
    with pytest.raises(BadBody, match=said):
        RESPONSES.split(raw)


@pytest.mark.parametrize("fields", [{"previous_response_id": "resp_1"}, {"prompt": {"id": "p"}}])
def test_nothing_need_be_said_where_the_provider_has_the_words(fields: dict[str, Any]) -> None:
    assert list(RESPONSES.split(json.dumps({"model": "m", **fields}).encode()).messages) == []


@given(
    st.dictionaries(st.text().filter(lambda key: key not in TAKEN_OUT), JSON, max_size=6),
    st.lists(st.dictionaries(st.text().filter(lambda key: key != "type"), JSON, max_size=3), min_size=1, max_size=5),
)
def test_what_is_split_is_all_that_was_sent(fields: dict[str, Any], items: list[dict[str, Any]]) -> None:
    request = RESPONSES.split(body(*items, **fields))
    said = [json.loads(message) for message in request.messages]
    assert [item for message in said for item in (message if isinstance(message, list) else [message])] == items
    assert json.loads(request.envelope) == fields


def changes(overrides: Overrides, **fields: Any) -> dict[str, Any]:
    return RESPONSES.changes(RESPONSES.split(body(**fields)), overrides)


def test_only_what_differs_is_overridden() -> None:
    assert changes(Overrides("m", {"temperature": 1}), temperature=1) == {}
    assert changes(Overrides("n", {"top_p": 0.5}), top_p=1) == {"model": "n", "top_p": 0.5}
    assert changes(Overrides(stream_usage=True), stream=True) == {}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_a_token_limit_goes_by_this_dialects_name(name: str) -> None:
    assert changes(Overrides(sampling={name: 9}), max_output_tokens=50) == {"max_output_tokens": 9}


def test_effort_is_set_beside_what_else_is_asked_of_the_reasoning() -> None:
    effort = Overrides(sampling={"reasoning_effort": "high"})
    assert changes(effort) == {"reasoning": {"effort": "high"}}
    assert changes(effort, reasoning={"summary": "auto"}) == {"reasoning": {"summary": "auto", "effort": "high"}}
    assert changes(effort, reasoning={"effort": "high"}) == {}


def test_only_the_bytes_of_overridden_fields_change() -> None:
    raw = b' {"model" : "a",\n "x":  [1,  2.50], "input":"a" }\n'
    assert RESPONSES.patch(raw, {"model": "b"}) == b' {"model" : "b",\n "x":  [1,  2.50], "input":"a" }\n'


def client(answer: httpx.Response) -> OpenAI:
    http = httpx.Client(transport=httpx.MockTransport(lambda request: answer))
    return OpenAI(api_key="x", base_url="http://gateway/v1", http_client=http, max_retries=0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, openai.BadRequestError), (409, openai.ConflictError), (429, openai.RateLimitError), (500, openai.APIError)],
)
def test_openais_sdk_raises_our_errors_with_their_message(status: int, kind: type[openai.APIError]) -> None:
    answer = httpx.Response(status, json=json.loads(RESPONSES.error(status, "slow down", "limit")))
    with client(answer) as sdk, pytest.raises(kind, match="slow down") as raised:
        sdk.responses.create(model="m", input="x")
    assert raised.value.code == "limit"


def test_openais_sdk_raises_an_error_in_the_middle_of_a_stream() -> None:
    events = ResponsesDialect().stream_error(503, "not recorded", "recorder_failed")
    stream = NAMED_EVENTS.written(events, first=False, last=True)
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    with client(answer) as sdk, pytest.raises(openai.APIError, match="not recorded"):
        list(sdk.responses.create(model="m", input="x", stream=True))


@pytest.mark.parametrize(
    ("raw", "said"),
    [(b'{"error":{"message":"no"}}', "no"), (b'{"detail":"no"}', "no"), (b"<html>no</html>", "<html>no</html>")],
)
def test_a_providers_error_is_read_in_whatever_shape(raw: bytes, said: str) -> None:
    assert RESPONSES.error_message(raw) == said


@pytest.mark.parametrize(
    "item",
    [
        b'{"role":"user","content":"a"}',
        b' { "role" : "assistant" , "content" : "a" } ',
        b'{"type":"message","role":"assistant","content":[]}',
        b'{"type":"message","content":[],"role":"developer"}',
        b'{"content":"a","role":"user"}',
        b'{"type":"function_call_output","call_id":"c","output":"role"}',
        b'{"call_id":"c","output":"x","type":"function_call_output"}',
        b'{"type":"reasoning","summary":[]}',
        b'{"type":"shell_call_output","call_id":"c","output":[]}',
        b'{"type":"something_new","role":null}',
        b'{"role":null,"type":"function_call"}',
        b'{"role":"us\\u0065r","content":"a"}',
    ],
)
def test_whose_an_item_is_is_told_alike_wherever_it_says_so(item: bytes) -> None:
    value = json.loads(item)
    said = RESPONSES.split(b'{"model":"m","input":[' + item + b',{"role":"user","content":"b"}]}').messages[0]
    ours = value.get("role") == "assistant" or value.get("type") in ("reasoning", "something_new", "function_call")
    assert json.loads(said) == ([value] if ours else value)
