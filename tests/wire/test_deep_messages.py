"""Messages that are nested past all measure: taken as long as they can be written again wherever they are shown."""

from __future__ import annotations

import json

import pytest

from drawbar.wire import DIALECTS
from drawbar.wire.dialect import BadBody, Dialect
from drawbar.wire.message import ToolUse
from drawbar.wire.route import CHAT_TURN, read_route
from drawbar.wire.tolerant import DEEPEST, dump, load, whole

ALL = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@ALL
def test_a_message_is_nested_two_hundred_levels_deep_and_no_deeper(dialect: Dialect) -> None:
    message = b'{"role":"user","x":%b}'
    dialect.canonical(message % nested(DEEPEST - 1))
    dialect.normal(message % nested(DEEPEST - 1))
    for levels in (DEEPEST, 600, 10_000, 100_000):
        for read in (dialect.canonical, dialect.normal):
            with pytest.raises(BadBody):
                read(message % nested(levels))


def test_arguments_that_are_nested_too_deeply_stay_a_text() -> None:
    arguments = nested(600).decode()
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    message = json.dumps({"role": "assistant", "tool_calls": [call]}).encode()
    assert DIALECTS["chat"].normal(message).blocks == (ToolUse("c", "f", None, arguments),)
    assert arguments.encode() in DIALECTS["chat"].canonical(message)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (b'"\\ud83d"', '"\ufffd"'),
        (b'"\\ud83d\\ude00"', '"\U0001f600"'),
        (b'{"\\udc00":"\xed\xa0\xbd"}', '{"\ufffd":"\ufffd"}'),
    ],
)
def test_halves_of_characters_are_replaced_where_they_are_written(said: bytes, read: str) -> None:
    assert dump(load(said)) == read.encode()


def test_large_numbers_are_read_alike_whatever_stands_beside_them() -> None:
    assert load(b'["\\ud83d",1' + b"0" * 30 + b"]")[1] == load(b"[1" + b"0" * 30 + b"]")[0] == 1e30
    assert load(b'["\\ud83d",18446744073709551615]')[1] == 18446744073709551615
    assert load(b"[1" + b"0" * 9999 + b"]") == [float("inf")]


@pytest.mark.parametrize("tail", [b',"metadata":{"a":"\xff"}}', b',"tools":["\xc3"]}', b"} \xef\xbb\xbf"])
def test_a_request_with_bytes_that_are_no_text_is_refused(tail: bytes) -> None:
    with pytest.raises(BadBody):
        CHAT_TURN.split(b'{"model":"m","messages":[{"role":"user","content":"hi"}]' + tail)


def test_half_a_character_does_not_make_a_request_of_another_encoding_readable() -> None:
    with pytest.raises(BadBody):
        CHAT_TURN.split(b'\xef\xbb\xbf{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}')


def test_a_query_is_passed_on_as_it_came_but_for_what_no_url_has() -> None:
    route = read_route("/v1/messages", "beta=true&x=%zz+a&y=\xff \x01")
    assert route is not None
    assert route.below("m") == "messages?beta=true&x=%zz+a&y=%FF%20%01"


def test_halves_of_characters_in_something_too_deep_are_not_looked_for() -> None:
    deep = b'["\\ud83d",' + nested(900) + b"]"
    with pytest.raises(BadBody, match="nested too deeply"):
        whole(load(deep))
