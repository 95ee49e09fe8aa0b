"""Answers of the chat dialect, whole and streamed: the same is read from both, and unknown fields do not get lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import CHAT
from drawbar.wire.dialect import BadBody, Response, Usage
from drawbar.wire.sse import EventSplitter, event, payload

USAGE = {
    "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2},
}  # fmt: skip


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish, **more}
    return json.dumps({"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}).encode()


def assembled(*chunks: bytes) -> Response:
    assembler = CHAT.assembler()
    for data in chunks:
        assembler.feed(data)
    return assembler.response()


def message(response: Response) -> dict[str, Any]:
    assert response.message is not None
    value: dict[str, Any] = json.loads(response.message)
    return value


def test_a_whole_answer_is_its_message_its_counts_and_the_rest() -> None:
    raw = json.dumps(
        {
            "id": "x",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "a"},
                    "finish_reason": "stop",
                    "token_ids": [1],
                }
            ],
            "usage": USAGE,
            "own": {"y": 1},
        }
    ).encode()
    response = CHAT.response(raw)
    assert message(response) == {"role": "assistant", "content": "a"}
    assert response.finish == "stop"
    assert response.usage == Usage(10, 5, 4, 2)
    rest = json.loads(response.envelope)
    assert rest["own"] == {"y": 1}
    assert rest["choices"] == [{"index": 0, "finish_reason": "stop", "token_ids": [1]}]


@pytest.mark.parametrize("bad", [b"", b"<html>", b"[]", b'{"id":"x"}', b'{"choices":3}'])
def test_what_is_no_answer_is_refused(bad: bytes) -> None:
    with pytest.raises(BadBody):
        CHAT.response(bad)


def test_an_answer_with_half_an_emoji_is_still_read() -> None:
    raw = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"a\\ud83d"},"finish_reason":"stop"}]}'
    assert CHAT.response(raw).finish == "stop"


def test_an_answer_without_a_choice_has_no_message() -> None:
    response = CHAT.response(b'{"choices":[],"usage":{"prompt_tokens":3}}')
    assert (response.message, response.finish, response.usage.prompt_tokens) == (None, None, 3)


def test_counts_of_other_providers_are_found() -> None:
    raw = (
        b'{"choices":[],"usage":{"prompt_tokens":3,"prompt_cache_hit_tokens":2,"cost":0.5,"completion_tokens":"many"}}'
    )
    assert CHAT.response(raw).usage == Usage(3, None, 2, None, 0.5)


def test_a_stream_is_put_together_into_the_message_that_it_is_pieces_of() -> None:
    response = assembled(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "let "}),
        chunk({"reasoning_content": "me see"}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo", "refusal": None}),
        chunk(
            {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]}
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}),
        chunk(
            {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
        chunk({}, "tool_calls"),
        json.dumps({"id": "x", "choices": [], "usage": USAGE}).encode(),
        b"[DONE]",
    )
    assert message(response) == {
        "role": "assistant",
        "content": "Hello",
        "reasoning_content": "let me see",
        "refusal": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    assert response.finish == "tool_calls"
    assert response.usage == Usage(10, 5, 4, 2)


def test_calls_without_an_index_or_all_with_the_same_stay_apart() -> None:
    def calls(**index: int) -> list[Any]:
        pieces = [
            {"id": id, "type": "function", "function": {"name": "f", "arguments": id}, **index} for id in ("c1", "c2")
        ]
        found: list[Any] = message(assembled(*(chunk({"tool_calls": [piece]}) for piece in pieces)))["tool_calls"]
        return found

    assert [call["function"]["arguments"] for call in calls()] == ["c1", "c2"]
    assert [call["function"]["arguments"] for call in calls(index=0)] == ["c1", "c2"]


def test_what_names_something_does_not_grow_when_it_comes_again() -> None:
    piece = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "x"}}
    response = assembled(
        chunk({"role": "assistant", "tool_calls": [piece]}),
        chunk({"role": "assistant", "tool_calls": [piece]}),
        chunk({}, "stop"),
        chunk({}, "stop"),
    )
    assert message(response)["role"] == "assistant"
    assert message(response)["tool_calls"][0] == {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": "xx"},
    }
    assert response.finish == "stop"


def test_fields_that_nobody_knows_survive() -> None:
    response = assembled(
        chunk(
            {"x_text": "a", "x_list": [1], "x_object": {"p": "q"}, "x_number": 1},
            logprobs={"content": [1]},
            token_ids=[7],
        ),
        chunk(
            {"x_text": "b", "x_list": [2], "x_object": {"r": "s"}, "x_number": 2},
            logprobs={"content": [2]},
            token_ids=[8],
        ),
        json.dumps({"choices": [], "x_top": "z"}).encode(),
    )
    said = message(response)
    assert (said["x_text"], said["x_list"], said["x_object"], said["x_number"]) == (
        "ab",
        [1, 2],
        {"p": "q", "r": "s"},
        2,
    )
    rest = json.loads(response.envelope)
    assert rest["x_top"] == "z"
    assert rest["choices"][0]["logprobs"] == {"content": [1, 2]}
    assert rest["choices"][0]["token_ids"] == [7, 8]


def test_pieces_of_a_list_with_the_same_index_are_one() -> None:
    details = [{"type": "reasoning.text", "index": 0, "text": text} for text in ("a", "b")]
    response = assembled(*(chunk({"reasoning_details": [piece]}) for piece in details))
    assert message(response)["reasoning_details"] == [{"type": "reasoning.text", "index": 0, "text": "ab"}]


def test_an_emoji_split_over_two_events_is_whole_again() -> None:
    parts = [
        b'{"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":"\\ude00"}}]}',
    ]
    assert message(assembled(*parts))["content"] == "\U0001f600"


def test_further_choices_are_kept_beside_the_first() -> None:
    response = assembled(chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({"content": "c"}, index=1))
    assert message(response)["content"] == "a"
    assert json.loads(response.envelope)["choices"][1]["message"]["content"] == "bc"


def test_a_turn_has_ended_when_all_choices_have() -> None:
    assembler = CHAT.assembler()
    assembler.feed(chunk({"content": "a"}))
    assembler.feed(chunk({"content": "b"}, index=1))
    assembler.feed(chunk({}, "stop"))
    assert (assembler.ended, assembler.done) == (False, False)
    assembler.feed(chunk({}, "stop", index=1))
    assert (assembler.ended, assembler.done) == (True, False)
    assembler.feed(b"[DONE]")
    assert (assembler.ended, assembler.done) == (True, True)


def test_only_an_event_of_counts_alone_is_called_so() -> None:
    assembler = CHAT.assembler()
    assert not assembler.feed(chunk({"content": "a"}))
    assert assembler.feed(json.dumps({"choices": [], "usage": USAGE}).encode())
    assert not assembler.feed(json.dumps({"choices": [{"index": 0, "delta": {}}], "usage": USAGE}).encode())
    assert not assembler.feed(b"[DONE]")


@pytest.mark.parametrize("data", [b'{"error":{"message":"boom"}}', b'{"error":"boom"}'])
def test_an_error_in_the_middle_of_a_stream_is_seen(data: bytes) -> None:
    assembler = CHAT.assembler()
    assembler.feed(data)
    assert assembler.error == "boom"


@pytest.mark.parametrize("data", [b"{", b"7", b'{"choices":7}', b'{"choices":[3]}', b'{"choices":[{"delta":3}]}'])
def test_odd_events_do_not_stop_the_reading(data: bytes) -> None:
    response = assembled(chunk({"content": "a"}), data, chunk({"content": "b"}, "stop"))
    assert message(response)["content"] == "ab"


TEXT = st.text(max_size=8)
DELTAS = st.lists(
    st.fixed_dictionaries({}, optional={"content": TEXT, "reasoning_content": TEXT, "x_own": TEXT}), max_size=8
)


@given(DELTAS, st.data())
def test_any_split_of_the_bytes_gives_the_same_answer(deltas: list[dict[str, str]], data: st.DataObject) -> None:
    newline = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    chunks = [*(chunk(delta) for delta in deltas), chunk({}, "stop"), b"[DONE]"]
    stream = b"".join(event(part) for part in chunks).replace(b"\n", newline)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    splitter, assembler, events = EventSplitter(), CHAT.assembler(), list[bytes]()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        events += splitter.feed(stream[start:end])
    for raw in events:
        if (found := payload(raw)) is not None:
            assembler.feed(found)
    assert b"".join(events) == stream
    assert assembler.done
    said = message(assembler.response())
    for name in ("content", "reasoning_content", "x_own"):
        whole = "".join(delta.get(name, "") for delta in deltas)
        assert (said.get(name) or "") == whole
