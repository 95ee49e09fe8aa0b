"""Requests and errors of the messages dialect: what is read from their bytes, and what of their bytes is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import MESSAGES
from drawbar.wire.dialect import BadBody, Overrides

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TAKEN = ("messages", "model", "stream", "tools", "system", "thread")
FIELDS = st.dictionaries(st.text().filter(lambda key: key not in TAKEN), JSON, max_size=6)


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def test_the_instructions_are_the_first_message_in_their_own_bytes() -> None:
    raw = b'{"system": [ {"type":"text",  "text":"s"}], "messages":[ {"role":"user",  "content":"a"} ], "model":"m"}'
    request = MESSAGES.split(raw)
    assert list(request.messages) == [
        b'{"role":"system","content":[ {"type":"text",  "text":"s"}]}',
        b'{"role":"user",  "content":"a"}',
    ]
    assert (request.standing, request.previous) == (1, None)
    assert json.loads(request.envelope) == {}


@pytest.mark.parametrize("system", [None, "", []])
def test_without_instructions_there_is_no_message_of_them(system: Any) -> None:
    request = MESSAGES.split(body(system=system))
    assert [json.loads(message)["role"] for message in request.messages] == ["user"]
    assert request.standing == 0
    assert MESSAGES.split(body()).messages == request.messages


def test_tools_and_streaming_stand_apart_from_the_envelope() -> None:
    request = MESSAGES.split(body(stream=True, tools=[{"name": "x"}], max_tokens=5))
    assert request.stream
    assert request.tools is not None
    assert json.loads(request.tools) == [{"name": "x"}]
    assert json.loads(request.envelope) == {"max_tokens": 5}
    assert MESSAGES.split(body(tools=[])).tools is None


def test_a_conversation_that_the_provider_keeps_names_the_reply_that_it_goes_on_from() -> None:
    kept = MESSAGES.split(body(thread={"type": "continue", "previous_message_id": "msg_1"}))
    assert kept.previous == "msg_1"
    assert json.loads(kept.envelope)["thread"]["previous_message_id"] == "msg_1"
    assert MESSAGES.split(body(thread={"type": "create"})).previous is None
    assert MESSAGES.split(body(thread=["odd"])).previous is None


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "the body is empty"),
        (b"not json", "not JSON"),
        (b'{"a\xab":1}', "not JSON"),
        (b'{"model":"\xab","messages":[{}]}', "`model` must be a string"),
        (b"[1]", "must be a JSON object"),
        (b'{"model":"m"}', "`messages` is missing"),
        (b'{"model":"m","messages":"hi"}', "`messages` must be a list"),
        (b'{"model":"m","system":"s","messages":[]}', "`messages` is empty"),
        (b'{"messages":[{}]}', "`model` is missing"),
        (b'{"model":7,"messages":[{}]}', "`model` must be a string"),
        (b'{"a":' + b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(raw: bytes, said: str) -> None:
    with pytest.raises(BadBody, match=said):
        MESSAGES.split(raw)


@given(FIELDS, st.lists(st.dictionaries(st.text(), JSON, max_size=3), min_size=1, max_size=5))
def test_what_is_split_is_all_that_was_sent(fields: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    request = MESSAGES.split(body(messages=messages, **fields))
    assert [json.loads(message) for message in request.messages] == messages
    assert json.loads(request.envelope) == fields


def changes(overrides: Overrides, **fields: Any) -> dict[str, Any]:
    return MESSAGES.changes(MESSAGES.split(body(**fields)), overrides)


def test_only_what_differs_is_overridden() -> None:
    assert changes(Overrides("m", {"temperature": 1}), temperature=1) == {}
    assert changes(Overrides("n", {"temperature": 0}), temperature=1) == {"model": "n", "temperature": 0}


def test_settings_go_by_the_names_of_this_dialect() -> None:
    given = Overrides(sampling={"max_completion_tokens": 9, "stop": "x", "top_p": 0.5, "top_k": 4})
    assert changes(given) == {"max_tokens": 9, "stop_sequences": ["x"], "top_p": 0.5, "top_k": 4}
    assert changes(given, max_tokens=9, stop_sequences=["x"], top_p=0.5, top_k=4) == {}


def test_token_counts_need_not_be_asked_for() -> None:
    assert changes(Overrides(stream_usage=True), stream=True) == {}


def test_only_the_bytes_of_overridden_fields_change() -> None:
    raw = b' {"model" : "a",\n "system":  "\\u00e9", "max_tokens":1 , "messages":[]}\n'
    patched = MESSAGES.patch(raw, {"model": "b", "max_tokens": 2, "top_k": 3})
    assert patched == b' {"model" : "b",\n "system":  "\\u00e9", "max_tokens":2 , "messages":[],"top_k":3}\n'


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"), (401, "authentication_error"), (403, "permission_error"),
        (404, "not_found_error"), (409, "conflict_error"), (413, "request_too_large"), (422, "invalid_request_error"),
        (429, "rate_limit_error"), (500, "api_error"), (503, "api_error"), (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)  # fmt: skip
def test_errors_are_in_the_shape_that_anthropic_has(status: int, kind: str) -> None:
    error = json.loads(MESSAGES.error(status, "no more", "limit_turns"))
    assert error == {
        "type": "error",
        "error": {"type": kind, "message": "no more", "details": {"error_code": "limit_turns"}},
    }


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "Overloaded"),
        (b'{"message":"no"}', "no"),
        (b'{"detail":"no"}', "no"),
        (b'{"error":"no"}', "no"),
        (b"<html>no</html>", "<html>no</html>"),
        (b'{"odd":1}', '{"odd":1}'),
        (b"", ""),
    ],
)
def test_a_providers_error_is_read_in_whatever_shape(raw: bytes, said: str) -> None:
    assert MESSAGES.error_message(raw) == said
