"""Answers of the gemini dialect, whole and streamed: the same is read from both, and unknown fields do not get lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drawbar.wire import GEMINI
from drawbar.wire.dialect import BadBody, Response, Usage

COUNTS = {"promptTokenCount": 10, "candidatesTokenCount": 5, "cachedContentTokenCount": 4, "thoughtsTokenCount": 2,
          "toolUsePromptTokenCount": 3, "totalTokenCount": 20}  # fmt: skip


def answer(*parts: Any, finish: str | None = None, index: int | None = 0, **more: Any) -> dict[str, Any]:
    """An answer, or a chunk of one."""
    said = [{"text": part} if isinstance(part, str) else part for part in parts]
    candidate: dict[str, Any] = {"content": {"parts": said, "role": "model"}, **more}
    candidate |= {} if finish is None else {"finishReason": finish}
    return {"candidates": [candidate if index is None else {**candidate, "index": index}]}


def call(id: str) -> dict[str, Any]:
    return {"functionCall": {"id": id, "name": "f", "args": {}}}


def assembled(*chunks: dict[str, Any] | bytes) -> Response:
    assembler = GEMINI.assembler()
    for chunk in chunks:
        assembler.feed(chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode())
    return assembler.response()


def parts(response: Response) -> Any:
    assert response.message is not None
    return json.loads(response.message)["parts"]


def whole(value: Any) -> Response:
    return GEMINI.response(json.dumps(value).encode())


def test_a_whole_answer_is_its_message_its_counts_and_the_rest() -> None:
    raw = (
        b'{"candidates": [{"content": {"parts": [ {"text":"a"} ], "role":"model"}, "finishReason": "STOP", "index": 0,'
        b' "groundingMetadata": {"x": 1}}], "usageMetadata": %b, "modelVersion": "m", "own": 1.50}'
    ) % json.dumps(COUNTS).encode()
    response = GEMINI.response(raw)
    assert response.message == b'{"parts": [ {"text":"a"} ], "role":"model"}'
    assert response.finish == "STOP"
    assert b'"own":1.50' in response.envelope
    assert json.loads(response.envelope) == {
        "candidates": [{"finishReason": "STOP", "index": 0, "groundingMetadata": {"x": 1}}],
        "usageMetadata": COUNTS, "modelVersion": "m", "own": 1.5,
    }  # fmt: skip


def test_further_candidates_stay_in_the_envelope() -> None:
    first, second = answer("a", finish="STOP")["candidates"][0], answer("b", finish="STOP", index=1)["candidates"][0]
    response = whole({"candidates": [first, second]})
    assert parts(response) == [{"text": "a"}]
    assert json.loads(response.envelope)["candidates"] == [{"index": 0, "finishReason": "STOP"}, second]
    streamed = assembled({"candidates": [first]}, {"candidates": [second]})
    assert parts(streamed) == [{"text": "a"}]
    assert json.loads(streamed.envelope) == json.loads(response.envelope)


def test_a_reply_says_that_the_model_said_it() -> None:
    response = whole({"candidates": [{"content": {"parts": [{"text": "a"}]}}]})
    assert json.loads(response.message or b"") == {"role": "model", "parts": [{"text": "a"}]}


@pytest.mark.parametrize("nothing", [{"finishReason": "SAFETY"}, {"content": {}, "finishReason": "SAFETY"}])
def test_a_candidate_without_content_has_no_message(nothing: dict[str, Any]) -> None:
    for response in (whole({"candidates": [nothing]}), assembled({"candidates": [nothing]})):
        assert (response.message, response.finish) == (None, "SAFETY")


def test_a_refused_prompt_ends_the_turn_with_its_reason() -> None:
    refusal = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}
    assembler = GEMINI.assembler()
    assembler.feed(json.dumps(refusal).encode())
    assert assembler.ended
    for response in (whole(refusal), assembler.response()):
        assert (response.message, response.finish, response.usage.prompt_tokens) == (None, "PROHIBITED_CONTENT", 3)


def test_an_answer_with_half_an_emoji_is_still_read() -> None:
    raw = b'{"candidates":[{"content":{"role":"model","parts":[{"text":"a\\ud83d"}]},"finishReason":"STOP"}]}'
    assert GEMINI.response(raw).finish == "STOP"


@pytest.mark.parametrize(
    "bad", [b"", b"<html>", b'{"id":"x"}', b'{"candidates":3}', b"[]", b'[{"error":{"message":"x"}}]']
)
def test_what_is_no_answer_is_refused(bad: bytes) -> None:
    with pytest.raises(BadBody):
        GEMINI.response(bad)


def test_an_array_of_chunks_that_came_as_a_whole_is_an_answer_too() -> None:
    assert parts(whole([answer("Hel"), answer("lo", finish="STOP")])) == [{"text": "Hello"}]


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (COUNTS, Usage(13, 7, 4, 2)),
        ({"promptTokenCount": 10, "thoughtsTokenCount": 2, "totalTokenCount": 12}, Usage(10, 2, None, 2)),
        ({"promptTokenCount": 10, "totalTokenCount": 10}, Usage(10, 0)),
        ({"promptTokenCount": 10}, Usage(10)),
        ({"prompt_token_count": 10, "candidates_token_count": 5}, Usage(10, 5)),
        ({"promptTokenCount": "many", "candidatesTokenCount": -1}, Usage()),
        (None, Usage()),
    ],
)
def test_counts_add_up_as_in_the_other_dialects(counts: Any, usage: Usage) -> None:
    assert whole({"candidates": [], "usageMetadata": counts}).usage == usage


def test_thoughts_that_the_provider_counts_among_the_candidates_are_counted_once() -> None:
    counts = {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 15}
    assert whole({"candidates": [], "usageMetadata": counts}).usage == Usage(10, 5, None, 2)


def test_texts_go_on_until_something_else_comes() -> None:
    response = assembled(
        answer({"text": "let ", "thought": True}), answer({"text": "me see", "thought": True}),
        answer("Hel"), answer("lo", call("c1")), answer(call("c2"), "the "), answer("end", finish="STOP"),
    )  # fmt: skip
    assert parts(response) == [
        {"text": "let me see", "thought": True}, {"text": "Hello"}, call("c1"), call("c2"), {"text": "the end"},
    ]  # fmt: skip


def test_a_signature_at_the_end_signs_the_text_before_it_and_closes_it() -> None:
    signed = {"text": "", "thoughtSignature": "s"}
    response = assembled(answer("a"), answer("b"), answer(signed), answer("c", finish="STOP"))
    assert parts(response) == [{"text": "ab", "thoughtSignature": "s"}, {"text": "c"}]


def test_a_signature_after_a_call_stands_alone() -> None:
    signed = {"text": "", "thoughtSignature": "s"}
    assert parts(assembled(answer(call("c1")), answer(signed, finish="STOP"))) == [call("c1"), signed]


def test_an_empty_text_is_no_part() -> None:
    assert parts(assembled(answer("", call("c1")), answer("", finish="STOP"))) == [call("c1")]


def test_a_text_with_something_else_in_its_part_stays_alone() -> None:
    odd = {"text": "b", "own": 1}
    assert parts(assembled(answer("a"), answer(odd), answer("c"))) == [{"text": "a"}, odd, {"text": "c"}]


def test_an_emoji_split_over_two_chunks_is_whole_again() -> None:
    halves = (b'{"candidates":[{"content":{"parts":[{"text":"\\u%b"}]}}]}' % half for half in (b"d83d", b"de00"))
    assert parts(assembled(*halves)) == [{"text": "\U0001f600"}]


def test_the_newest_counts_are_right() -> None:
    first = {
        **answer("a"),
        "usageMetadata": {"promptTokenCount": 10, "cachedContentTokenCount": 4, "totalTokenCount": 10},
    }
    last = {**answer("b", finish="STOP"), "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 2}}
    assert assembled(first, last).usage == Usage(10, 2, 4)


def test_fields_that_nobody_knows_survive() -> None:
    response = assembled(
        {**answer("a", x_candidate=1, logprobsResult={"chosenCandidates": [1]}), "x_top": 1, "x_first": 1},
        {**answer("b", x_candidate=2, logprobsResult={"chosenCandidates": [2]}), "x_top": 2},
        {"candidates": [{"content": {"x_content": 1}, "finishReason": "STOP", "index": 0}]},
    )
    assert json.loads(response.message or b"") == {"role": "model", "parts": [{"text": "ab"}], "x_content": 1}
    assert json.loads(response.envelope) == {
        "x_top": 2, "x_first": 1,
        "candidates": [
            {"index": 0, "x_candidate": 2, "logprobsResult": {"chosenCandidates": [1, 2]}, "finishReason": "STOP"}
        ],
    }  # fmt: skip


def test_a_turn_has_ended_when_all_candidates_have_and_nothing_but_the_connection_ends_the_stream() -> None:
    assembler = GEMINI.assembler()
    seen = []
    for chunk in (answer("a"), answer("b", index=1), answer(finish="STOP"), answer(finish="MAX_TOKENS", index=1)):
        assembler.feed(json.dumps(chunk).encode())
        seen.append((assembler.ended, assembler.done))
    assert seen == [(False, False), (False, False), (False, False), (True, False)]


def test_what_comes_after_the_finish_reason_is_read_too() -> None:
    response = assembled(answer("a", finish="STOP"), answer("b"), {"usageMetadata": {"promptTokenCount": 3}})
    assert (parts(response), response.finish, response.usage.prompt_tokens) == ([{"text": "ab"}], "STOP", 3)


def test_a_mark_of_other_dialects_ends_the_stream() -> None:
    assembler = GEMINI.assembler()
    assembler.feed(b"[DONE]")
    assert (assembler.ended, assembler.done) == (True, True)


def test_only_an_event_of_counts_alone_is_called_so() -> None:
    assembler = GEMINI.assembler()
    counts = {"usageMetadata": COUNTS, "modelVersion": "m"}
    assert assembler.feed(json.dumps(counts).encode())
    for other in ({**counts, **answer("a")}, {**counts, "promptFeedback": {}}, {"modelVersion": "m"}, {}):
        assert not assembler.feed(json.dumps(other).encode())


@pytest.mark.parametrize(
    "data", [b'{"error":{"code":503,"message":"boom","status":"UNAVAILABLE"}}', b'{"error":"boom"}']
)
def test_an_error_in_the_middle_of_a_stream_is_seen(data: bytes) -> None:
    assembler = GEMINI.assembler()
    assembler.feed(data)
    assert assembler.error == "boom"
    assert not assembler.ended


@pytest.mark.parametrize("data", [b'{"candidates":[', b'{"x":' + b"[" * 600 + b"]" * 600 + b"}"])
def test_an_event_that_cannot_be_read_is_an_error_and_leaves_what_came_before(data: bytes) -> None:
    assembler = GEMINI.assembler()
    assembler.feed(json.dumps(answer("a")).encode())
    assembler.feed(data)
    assert parts(assembler.response()) == [{"text": "a"}]
    assert assembler.error is not None
    assert "cannot be read" in assembler.error


@pytest.mark.parametrize(
    "data",
    [b"7", b"[]", b'{"candidates":7}', b'{"candidates":[3,{"content":3},{"content":{"parts":7}},{"index":"x"}]}'],
)
def test_odd_events_do_not_stop_the_reading(data: bytes) -> None:
    response = assembled(answer("a"), data, answer("b", finish="STOP"))
    assert [part for part in parts(response) if part != 7] in ([{"text": "ab"}], [{"text": "a"}, {"text": "b"}])


@pytest.mark.parametrize(
    ("status", "name"),
    [(400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED"), (404, "NOT_FOUND"),
     (409, "ABORTED"), (413, "INVALID_ARGUMENT"), (429, "RESOURCE_EXHAUSTED"), (500, "INTERNAL"),
     (501, "UNIMPLEMENTED"), (502, "INTERNAL"), (503, "UNAVAILABLE"), (504, "DEADLINE_EXCEEDED")],
)  # fmt: skip
def test_errors_are_in_the_shape_that_google_has(status: int, name: str) -> None:
    error = json.loads(GEMINI.error(status, "slow down", "limit_time"))["error"]
    assert (error["code"], error["message"], error["status"]) == (status, "slow down", name)
    assert error["details"][0]["reason"] == "LIMIT_TIME"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}', "no"),
        (b'[{"error":{"message":"no"}}]', "no"),
        (b'{"error":"no"}', "no"),
        (b"<html>no</html>", "<html>no</html>"),
        (b"", ""),
    ],
)
def test_a_providers_error_is_read_in_whatever_shape(raw: bytes, said: str) -> None:
    assert GEMINI.error_message(raw) == said
    assert GEMINI.error_message(GEMINI.error(500, "ours", "x")) == "ours"
