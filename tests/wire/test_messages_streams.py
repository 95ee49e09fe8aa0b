"""Answers of the messages dialect that are not as they should be: cut, odd, from providers that do it otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import MESSAGES
from drawbar.wire.dialect import Assembler, BadBody, Response, Usage

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1},
    },
}  # fmt: skip
STOP = {"type": "message_stop"}


def begin(block: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def piece(index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def said(text: str, index: int = 0) -> dict[str, Any]:
    return piece(index, type="text_delta", text=text)


def end(reason: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


TEXT = {"type": "text", "text": ""}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}


def fed(*events: Any) -> Assembler:
    assembler = MESSAGES.assembler()
    for event in events:
        assert not assembler.feed(event if isinstance(event, bytes) else json.dumps(event).encode())
    return assembler


def content(response: Response) -> Any:
    assert response.message is not None
    return json.loads(response.message)["content"]


def test_a_stream_that_is_cut_before_its_first_block_has_no_message() -> None:
    assembler = fed(START)
    assert (assembler.ended, assembler.response().message) == (False, None)
    assert fed().response() == Response(None, None, Usage(), b"{}")


def test_a_turn_may_end_with_nothing_said() -> None:
    assert content(fed(START, end(), STOP).response()) == []


def test_an_input_that_was_cut_off_is_kept_as_the_text_that_came() -> None:
    response = fed(START, begin(CALL), piece(type="input_json_delta", partial_json='{"a": [1')).response()
    assert content(response) == [{**CALL, "input": '{"a": [1'}]
    (use,) = MESSAGES.normal(response.message or b"").tool_uses
    assert (use.arguments, use.raw) == (None, '{"a": [1')


def test_an_input_that_came_whole_with_its_block_stays() -> None:
    whole = {**CALL, "input": {"a": 1}}
    assert content(fed(START, begin(whole), piece(type="input_json_delta", partial_json="")).response()) == [whole]


def test_a_reason_that_is_not_given_yet_does_not_end_the_turn() -> None:
    assert not fed(START, end(None)).ended
    assert fed(START, end(None), end()).ended
    assert fed(START, STOP).ended


def test_counts_are_totals_and_those_left_out_stay() -> None:
    assert fed(START, end(output_tokens=7)).response().usage == Usage(15, 7, 5)
    assert fed(START, end(input_tokens=20, cache_read_input_tokens=None, output_tokens=7)).response().usage == Usage(
        25, 7, 5
    )


@pytest.mark.parametrize("counts", [None, 7, {}, {"input_tokens": "many", "output_tokens": 1e300}])
def test_counts_that_are_none_are_not_made_up(counts: Any) -> None:
    assert MESSAGES.response(json.dumps({"content": [], "usage": counts}).encode()).usage == Usage()


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        {"type": "error", "error": {"type": "Overloaded"}},
        {"type": "error", "error": "Overloaded"},
        {"type": "error", "message": "Overloaded"},
        {"error": {"message": "Overloaded"}},
    ],
)
def test_an_error_in_the_middle_of_a_stream_is_seen(event: Any) -> None:
    assembler = fed(START, begin(TEXT), said("a"), event)
    assert assembler.error == "Overloaded"
    assert content(assembler.response()) == [{"type": "text", "text": "a"}]
    assert not assembler.ended


def test_an_event_that_is_no_json_is_an_error_of_the_stream() -> None:
    assembler = fed(START, begin(TEXT), said("a"), b"{")
    assert "cannot be read" in (assembler.error or "")
    assert content(assembler.response()) == [{"type": "text", "text": "a"}]


def test_what_nobody_knows_survives() -> None:
    response = fed(
        {**START, "x_start": 1},
        begin({"type": "hologram", "x_text": "a", "x_list": [1]}),
        piece(type="hologram_delta", x_text="b", x_list=[2], x_object={"p": 1}),
        {**piece(type="hologram_delta", x_object={"q": 2}), "x_ids": [7]},
        {**piece(type="hologram_delta"), "x_ids": [8]},
        {"type": "weather", "x": 1},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "x_delta": 2}, "usage": {"x_count": 3}},
        {**STOP, "x_stop": {"y": 4}},
    ).response()
    assert content(response) == [{"type": "hologram", "x_text": "ab", "x_list": [1, 2], "x_object": {"p": 1, "q": 2}}]
    rest = json.loads(response.envelope)
    assert (rest["x_start"], rest["x_ids"], rest["x_delta"], rest["x_stop"]) == (1, [7, 8], 2, {"y": 4})
    assert rest["usage"]["x_count"] == 3
    assert rest["stream_events"] == [{"type": "weather", "x": 1}]


def test_blocks_that_a_provider_counts_wrongly_stay_apart() -> None:
    events = [begin(TEXT), said("a"), begin(TEXT), said("b"), begin(TEXT, 5), said("c", 5), said("d", 0)]
    assert [block["text"] for block in content(fed(START, *events).response())] == ["a", "bd", "c"]


def test_pieces_of_a_block_that_never_began_make_one() -> None:
    events = [
        said("a"),
        piece(1, type="input_json_delta", partial_json='{"a":1}'),
        piece(2, type="signature_delta", signature="s"),
    ]
    assert content(fed(START, *events).response()) == [
        {"type": "text", "text": "a"},
        {"type": "tool_use", "input": {"a": 1}},
        {"type": "thinking", "signature": "s"},
    ]


def test_a_model_that_takes_over_is_the_one_that_answered() -> None:
    block = {"type": "fallback", "from": {"model": "m"}, "to": {"model": "n"}}
    response = fed(START, begin(block), end()).response()
    assert content(response) == [block]
    assert json.loads(response.envelope)["model"] == "n"


def test_an_emoji_split_over_two_events_is_whole_again() -> None:
    parts = [
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\ud83d"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\ude00"}}',
    ]
    assert content(fed(START, begin(TEXT), *parts).response()) == [{"type": "text", "text": "\U0001f600"}]


@pytest.mark.parametrize(
    "odd",
    [
        b"7", b"[]", b"{}", b'{"type":["x"]}', b'{"type":"message_start"}', b'{"type":"message_start","message":7}',
        b'{"type":"message_start","message":{"content":[7],"usage":7}}', b'{"type":"content_block_start"}',
        b'{"type":"content_block_delta"}', b'{"type":"content_block_delta","delta":7}', b'{"type":"message_delta"}',
        b'{"type":"message_delta","delta":7,"usage":7}', b'{"type":"ping"}', b'{"type":"content_block_stop"}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":7}}',
        b'{"type":"content_block_delta","index":null,"delta":{"type":"citations_delta"}}',
    ],
)  # fmt: skip
def test_odd_events_do_not_stop_the_reading(odd: bytes) -> None:
    response = fed(START, begin({**TEXT}), said("a"), odd, said("b"), end(), STOP).response()
    assert content(response)[0]["text"] == "ab"
    assert response.finish == "end_turn"


@pytest.mark.parametrize("depth", [200, 300, 470, 480, 500, 900, 100_000])
@pytest.mark.parametrize("place", ["block", "delta", "input", "event"])
def test_what_is_nested_without_end_loses_nothing_else(depth: int, place: str) -> None:
    deep = b"[" * depth + b"]" * depth
    event = {
        "block": b'{"type":"content_block_start","index":1,"content_block":{"type":"x","x":%s}}' % deep,
        "delta": b'{"type":"content_block_delta","index":0,"delta":{"type":"x_delta","x":%s}}' % deep,
        "input": json.dumps(piece(1, type="input_json_delta", partial_json=deep.decode())).encode(),
        "event": b'{"type":"x","x":%s}' % deep,
    }[place]
    response = fed(START, begin(TEXT), said("a"), event).response()
    assert content(response)[0]["text"] == "a"


@pytest.mark.parametrize("bad", [b"", b"<html>", b"[]", b'{"id":"x"}', b'{"type":"error","error":{"message":"no"}}'])
def test_what_is_no_answer_is_refused(bad: bytes) -> None:
    with pytest.raises(BadBody):
        MESSAGES.response(bad)


def test_an_answer_with_half_an_emoji_is_still_read() -> None:
    raw = b'{"role":"assistant","content":[{"type":"text","text":"a\\ud83d"}],"stop_reason":"end_turn"}'
    assert MESSAGES.response(raw).finish == "end_turn"


def test_an_answer_without_content_has_no_message() -> None:
    assert MESSAGES.response(b'{"content":null,"stop_reason":7}').message is None
    assert MESSAGES.response(b'{"content":[]}').message == b'{"role":"assistant","content":[]}'


WORDS = st.text(max_size=8)
BLOCKS = st.lists(st.lists(WORDS, max_size=4), max_size=4)


@given(BLOCKS, st.dictionaries(st.text(max_size=4), st.integers(-(2**53), 2**53) | WORDS, max_size=4), st.data())
def test_any_words_and_any_input_come_through_whole(
    texts: list[list[str]], given: dict[str, Any], data: st.DataObject
) -> None:
    events: list[Any] = [START]
    for index, pieces in enumerate(texts):
        events += [begin(TEXT, index), *(said(part, index) for part in pieces)]
    written = json.dumps(given, ensure_ascii=data.draw(st.booleans()))
    cut = data.draw(st.integers(0, len(written)))
    events.append(begin(CALL, len(texts)))
    events += [piece(len(texts), type="input_json_delta", partial_json=part) for part in (written[:cut], written[cut:])]
    found = content(fed(*events, end(), STOP).response())
    assert [block["text"] for block in found[:-1]] == ["".join(pieces) for pieces in texts]
    assert found[-1]["input"] == given
