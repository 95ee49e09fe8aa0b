"""Requests of the chat dialect: what is read from their bytes, and what of their bytes is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import CHAT
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
FIELDS = st.dictionaries(
    st.text().filter(lambda key: key not in ("messages", "model", "stream", "tools")), JSON, max_size=6
)


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def test_a_request_is_cut_into_slices_of_its_own_bytes() -> None:
    raw = b'{"messages": [ {"role":"user",  "content":"a"} , {"role":"assistant","content":"b"}], "model":"m","n":  1}'
    request = CHAT.split(raw)
    assert list(request.messages) == [b'{"role":"user",  "content":"a"}', b'{"role":"assistant","content":"b"}']
    assert (request.model, request.stream, request.tools) == ("m", False, None)
    assert json.loads(request.envelope) == {"n": 1}


def test_tools_and_streaming_stand_apart_from_the_envelope() -> None:
    request = CHAT.split(body(stream=True, tools=[{"type": "function"}], temperature=0.5))
    assert request.stream
    assert request.tools is not None
    assert json.loads(request.tools) == [{"type": "function"}]
    assert json.loads(request.envelope) == {"temperature": 0.5}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "the body is empty"),
        (b"{", "not JSON"),
        (b"not json", "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"model":"m"}', "`messages` is missing"),
        (b'{"model":"m","messages":"hi"}', "`messages` must be a list"),
        (b'{"model":"m","messages":[]}', "`messages` is empty"),
        (b'{"messages":[{}]}', "`model` is missing"),
        (b'{"model":7,"messages":[{}]}', "`model` must be a string"),
        (b'\xff\xfe{"model":"m"}', "not JSON"),
        (b'{"a":' + b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(raw: bytes, said: str) -> None:
    with pytest.raises(BadBody, match=said):
        CHAT.split(raw)


def test_only_the_bytes_of_overridden_fields_change() -> None:
    raw = b' {"model" : "a",\n "x":  [1,  2.50, "\\u00e9"], "temperature":1 , "messages":[]}\n'
    patched = CHAT.patch(raw, {"model": "b", "temperature": 0.25})
    assert patched == b' {"model" : "b",\n "x":  [1,  2.50, "\\u00e9"], "temperature":0.25 , "messages":[]}\n'


def test_a_field_that_was_not_there_is_added_at_the_end() -> None:
    assert CHAT.patch(b'{"a":1 }', {"b": {"c": 2}}) == b'{"a":1 ,"b":{"c":2}}'
    assert CHAT.patch(b"{ }", {"b": 2}) == b'{ "b":2}'


def test_a_field_set_to_none_is_removed() -> None:
    assert json.loads(CHAT.patch(b'{"a":1,"b":2,"c":3}', {"b": None, "c": 4})) == {"a": 1, "c": 4}
    assert CHAT.patch(b'{"a": 1}', {"b": None}) == b'{"a": 1}'


def test_nothing_to_change_changes_nothing() -> None:
    raw = b'{"a":1, "a":2}'
    assert CHAT.patch(raw, {}) is raw


def test_a_field_that_repeats_is_patched_where_the_last_one_counts() -> None:
    assert json.loads(CHAT.patch(b'{"a":1,"b":0,"a":2}', {"a": 3})) == {"a": 3, "b": 0}


@given(FIELDS, FIELDS, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_patching_sets_what_is_asked_and_keeps_the_rest(
    fields: dict[str, Any], changes: dict[str, Any], indent: int | str | None, escaped: bool
) -> None:
    raw = json.dumps(fields, indent=indent, ensure_ascii=escaped).encode()
    expected = {**fields, **changes}
    patched = json.loads(CHAT.patch(raw, changes))
    assert patched == {key: value for key, value in expected.items() if key not in changes or value is not None}


@given(FIELDS, st.lists(st.dictionaries(st.text(), JSON, max_size=3), min_size=1, max_size=5))
def test_what_is_split_is_all_that_was_sent(fields: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    request = CHAT.split(body(messages=messages, **fields))
    assert [json.loads(message) for message in request.messages] == messages
    assert json.loads(request.envelope) == fields


def changes(overrides: Overrides, **fields: Any) -> dict[str, Any]:
    return CHAT.changes(CHAT.split(body(**fields)), overrides)


def test_only_what_differs_is_overridden() -> None:
    assert changes(Overrides("m", {"temperature": 1}), temperature=1) == {}
    assert changes(Overrides("n", {"temperature": 0}), temperature=1) == {"model": "n", "temperature": 0}


def test_a_token_limit_goes_by_the_name_that_the_client_uses() -> None:
    limit = Overrides(sampling={"max_tokens": 9})
    assert changes(limit) == {"max_tokens": 9}
    assert changes(limit, max_completion_tokens=50) == {"max_completion_tokens": 9}


def test_token_counts_are_asked_for_where_the_client_did_not() -> None:
    ask = Overrides(stream_usage=True)
    assert changes(ask) == {}
    assert changes(ask, stream=True) == {"stream_options": {"include_usage": True}}
    assert changes(ask, stream=True, stream_options={"include_usage": True}) == {}
    assert changes(ask, stream=True, stream_options={"x": 1}) == {"stream_options": {"x": 1, "include_usage": True}}


def test_errors_are_in_the_shape_that_openai_has() -> None:
    error = json.loads(CHAT.error(429, "slow down", "limit"))
    assert error == {"error": {"message": "slow down", "type": "rate_limit_error", "param": None, "code": "limit"}}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"error":{"message":"no"}}', "no"),
        (b'{"error":"no"}', "no"),
        (b'{"detail":"no"}', "no"),
        (b'{"message":"no"}', "no"),
        (b"<html>no</html>", "<html>no</html>"),
        (b'{"odd":1}', '{"odd":1}'),
        (b"", ""),
    ],
)
def test_a_providers_error_is_read_in_whatever_shape(raw: bytes, said: str) -> None:
    assert CHAT.error_message(raw) == said


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\uDC00", rb"\ud83d b"])
def test_half_an_emoji_does_not_keep_a_request_from_being_read(half: bytes) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"a ' + half + b'"}],"user":"' + half + b'"}'
    request = CHAT.split(body)
    (message,) = request.messages
    assert json.loads(message)["content"].startswith("a \ufffd")
    assert json.loads(request.envelope)["user"].startswith("\ufffd")
    assert CHAT.patch(body, {}) is body
    patched = json.loads(CHAT.patch(body, {"model": "n"}))
    assert (patched["model"], patched["messages"]) == ("n", [json.loads(message)])


def test_what_is_no_json_is_not_healed() -> None:
    with pytest.raises(BadBody, match="not JSON"):
        CHAT.split(rb'{"model":"m","messages":[{"role":"user","content":"a \ud83d"}]')
