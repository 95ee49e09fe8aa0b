"""Streams of the responses dialect that end early, end badly or are odd: what came of them is there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import RESPONSES
from drawbar.wire.dialect import Assembler, BadBody
from drawbar.wire.responses import ResponsesDialect


def fed(*events: dict[str, Any] | bytes) -> Assembler:
    assembler = RESPONSES.assembler()
    for event in events:
        assert not assembler.feed(event if isinstance(event, bytes) else json.dumps(event).encode())
    return assembler


def output(assembler: Assembler) -> Any:
    return json.loads(assembler.response().message or b"null")


def told(kind: str, index: int | None = 0, **fields: Any) -> dict[str, Any]:
    where = {} if index is None else {"output_index": index}
    return {"type": f"response.{kind}", **where, **fields}


def added(index: int | None, **item: Any) -> dict[str, Any]:
    return told("output_item.added", index, item=item)


def whole(kind: str = "completed", **response: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": {"id": "resp_1", **response}}


CREATED = whole("created", status="in_progress", model="m-1", own={"y": 1}, output=[])
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f"}


def test_a_stream_that_is_cut_leaves_what_was_seen() -> None:
    assembler = fed(
        CREATED,
        added(0, type="reasoning", id="rs_1", summary=[]),
        told("reasoning_summary_text.delta", 0, summary_index=0, delta="h"),
        told("reasoning_summary_text.delta", 0, summary_index=0, delta="m"),
        told("reasoning_text.delta", 0, content_index=0, delta="let me"),
        added(1, type="message", id="msg_1", role="assistant", content=[]),
        told("content_part.added", 1, content_index=0, part={"type": "output_text", "text": "", "annotations": []}),
        told("output_text.delta", 1, content_index=0, delta="Hel", logprobs=[{"token": "Hel"}]),
        told("output_text.delta", 1, content_index=0, delta="lo", logprobs=[{"token": "lo"}]),
        told("output_text.annotation.added", 1, content_index=0, annotation={"type": "x"}),
        told("refusal.delta", 1, content_index=1, delta="but no"),
        added(2, **CALL, arguments=""),
        told("function_call_arguments.delta", 2, delta='{"a"'),
        added(3, type="custom_tool_call", input=""),
        told("custom_tool_call_input.delta", 3, delta="*** B"),
        added(4, type="code_interpreter_call", code=""),
        told("code_interpreter_call_code.delta", 4, delta="1+"),
        told("web_search_call.searching", 5),
    )
    text = {"type": "output_text", "text": "Hello", "annotations": [{"type": "x"}],
            "logprobs": [{"token": "Hel"}, {"token": "lo"}]}  # fmt: skip
    assert output(assembler) == [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
         "content": [{"type": "reasoning_text", "text": "let me"}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "content": [text, {
            "type": "refusal", "refusal": "but no"}]},
        {**CALL, "arguments": '{"a"'},
        {"type": "custom_tool_call", "input": "*** B"},
        {"type": "code_interpreter_call", "code": "1+"},
    ]  # fmt: skip
    assert (assembler.ended, assembler.done, assembler.error) == (False, False, None)
    response = assembler.response()
    assert (response.finish, response.names) == (None, ("resp_1",))
    assert json.loads(response.envelope)["own"] == {"y": 1}


def test_nothing_at_all_is_no_message() -> None:
    response = fed().response()
    assert (response.message, response.finish, response.envelope) == (None, None, b"{}")


def test_a_finished_item_counts_before_its_pieces() -> None:
    assembler = fed(
        added(0, **CALL, arguments=""),
        told("function_call_arguments.delta", 0, delta="{"),
        told("output_item.done", 0, item={**CALL, "arguments": "{}", "own": 1}),
    )
    assert output(assembler) == [{**CALL, "arguments": "{}", "own": 1}]


@pytest.mark.parametrize("own", [{}, {"model": "m-2"}])
def test_a_last_event_of_few_words_is_completed_by_the_first(own: dict[str, Any]) -> None:
    response = fed(CREATED, added(0, **CALL), whole(usage={"input_tokens": 3}, **own)).response()
    assert (response.finish, response.usage.prompt_tokens) == ("completed", 3)
    assert json.loads(response.envelope)["model"] == own.get("model", "m-1")
    assert json.loads(response.message or b"") == [CALL]


@pytest.mark.parametrize(
    ("end", "finish"),
    [
        (whole("completed", status="completed"), "completed"),
        (whole("completed", status="in_progress"), "completed"),
        (whole("incomplete", incomplete_details={"reason": "content_filter"}), "content_filter"),
        (whole("incomplete", status="incomplete", incomplete_details=None), "incomplete"),
    ],
)
def test_a_stream_ends_for_a_reason(end: dict[str, Any], finish: str) -> None:
    assembler = fed(CREATED, end)
    assert (assembler.ended, assembler.done, assembler.error) == (True, True, None)
    assert assembler.response().finish == finish


@pytest.mark.parametrize(
    ("error", "said"), [({"code": "server_error", "message": "no luck"}, "no luck"), (None, "the response failed")]
)
def test_a_response_that_failed_says_why_and_keeps_what_it_had(error: Any, said: str) -> None:
    assembler = fed(CREATED, added(0, **CALL), whole("failed", status="failed", error=error, output=[]))
    assert assembler.ended
    assert said in (assembler.error or "")
    assert assembler.response().finish == "failed"
    assert output(assembler) == [CALL]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "no luck", "param": None},
        {"type": "error", "error": {"message": "no luck"}},
        {"error": {"message": "no luck"}},
        {"error": "no luck"},
    ],
)
def test_an_error_event_is_the_streams_error_in_every_shape(event: dict[str, Any]) -> None:
    assembler = fed(CREATED, event)
    assert assembler.error == "no luck"
    assert not assembler.ended


def test_an_error_of_our_own_is_read_as_one() -> None:
    assembler = fed(*ResponsesDialect().stream_error(503, "not recorded", "recorder_failed"))
    assert (assembler.error, assembler.done) == ("not recorded", True)


def test_a_stream_without_its_last_event_has_not_ended() -> None:
    assembler = fed(CREATED, added(0, **CALL), b"[DONE]")
    assert (assembler.done, assembler.ended) == (True, False)


def test_items_without_an_index_are_told_apart_by_their_ids() -> None:
    assembler = fed(
        added(None, **CALL, arguments=""),
        added(None, **{**CALL, "id": "fc_2", "call_id": "c2"}, arguments=""),
        told("function_call_arguments.delta", None, item_id="fc_1", delta="1"),
        told("function_call_arguments.delta", None, delta="2"),
    )
    assert [item["arguments"] for item in output(assembler)] == ["1", "2"]


def test_halves_of_an_emoji_come_together() -> None:
    delta = b'{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"\\ud83d"}'
    part = output(fed(added(0, type="message"), delta, delta.replace(b"d83d", b"de42")))[0]["content"][0]
    assert part["text"] == "\U0001f642"


def test_a_last_event_with_half_an_emoji_is_still_read() -> None:
    assembler = fed(b'{"type":"response.completed","response":{"output":[{"type":"message","x":"\\ud83d"}]}}')
    assert assembler.error is None
    assert len(output(assembler)) == 1


@pytest.mark.parametrize("kind", ["created", "output_item.added", "completed"])
@pytest.mark.parametrize("depth", [300, 600, 1000, 100_000])
def test_what_is_nested_deeply_is_read_or_is_an_error_of_the_stream(kind: str, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    event = b'{"type":"response.%s","item":{"x":%s},"response":{"output":[{"x":%s}]}}' % (kind.encode(), deep, deep)
    assembler = fed(event, whole(usage={}))
    assembler.response()


def test_an_end_that_cannot_be_read_is_the_streams_error() -> None:
    assembler = fed(CREATED, whole(output=3))
    assert "cannot be read" in (assembler.error or "")
    assert assembler.response().message is None


def test_an_event_that_cannot_be_read_is_the_streams_error() -> None:
    assert "cannot be read" in (fed(CREATED, b"{").error or "")


ODD: list[Any] = [None, 7, -1, "x", [], {}, [{}], {"type": 3}, 10**20, 0.5, True]
KINDS = ["output_item.added", "output_item.done", "content_part.added", "content_part.done", "output_text.delta",
         "output_text.done", "refusal.delta", "reasoning_summary_part.added", "reasoning_summary_text.delta",
         "function_call_arguments.delta", "output_text.annotation.added", "created", "completed", "failed",
         "x"]  # fmt: skip
NAMES = ["output_index", "content_index", "summary_index", "item_id", "item", "part", "delta", "text", "logprobs",
         "annotation", "response", "error", "arguments"]  # fmt: skip
EVENT = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from([*(f"response.{kind}" for kind in KINDS), *ODD]),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ODD), max_size=6),
)


@given(st.lists(EVENT | st.sampled_from(ODD), max_size=12))
def test_odd_events_do_not_stop_the_reading(events: list[Any]) -> None:
    assembler = fed(*(json.dumps(event).encode() for event in events))
    assembler.response()


@pytest.mark.parametrize("bad", [b"", b"<html>", b"[]", b'{"id":"x"}', b'{"output":3}'])
def test_what_is_no_answer_is_refused(bad: bytes) -> None:
    with pytest.raises(BadBody):
        RESPONSES.response(bad)


@pytest.mark.parametrize("none", [b"[]", b"null", b"[ ]"])
def test_an_answer_without_items_has_no_message(none: bytes) -> None:
    response = RESPONSES.response(b'{"id":"x","status":"queued","output":' + none + b"}")
    assert (response.message, response.finish, response.names) == (None, None, ("x",))


def test_an_answer_with_half_an_emoji_is_still_read() -> None:
    assert RESPONSES.response(b'{"output":[{"x":"\\ud83d"}],"status":"completed"}').finish == "completed"


def test_counts_that_are_none_are_not_known() -> None:
    raw = b'{"output":[],"usage":{"input_tokens":"many","output_tokens":3,"input_tokens_details":7,"cost":0.5}}'
    usage = RESPONSES.response(raw).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.cost) == (None, 3, None, 0.5)
