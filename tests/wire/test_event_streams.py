"""Byte streams of server-sent events: the same events whatever way the network cut them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire.dialect import BadBody
from drawbar.wire.sse import KEEPALIVE, EventSplitter, event, payload


def split(*parts: bytes) -> list[bytes]:
    splitter = EventSplitter()
    events = [found for part in parts for found in splitter.feed(part)]
    rest = splitter.rest()
    return [*events, rest] if rest else events


def test_events_end_with_a_blank_line_in_any_convention() -> None:
    assert split(b"data: a\n\ndata: b\r\n\r\ndata: c\r\rx") == [
        b"data: a\n\n",
        b"data: b\r\n\r\n",
        b"data: c\r\r",
        b"x",
    ]


@given(st.lists(st.sampled_from([b"data: a", b"\n", b"\r\n", b"\r", b": c", b"id: 1"]), max_size=12), st.data())
def test_where_the_bytes_are_cut_does_not_matter(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert split(*parts) == split(stream)
    assert b"".join(split(*parts)) == stream


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\n\n", b"a"),
        (b"data:  a\r\n\r\n", b" a"),
        (b"event: x\ndata: a\nid: 7\n\n", b"a"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data\n\n", b""),
        (KEEPALIVE, None),
        (b"\n\n", None),
        (event(b"x"), b"x"),
    ],
)
def test_an_events_data_is_found(raw: bytes, data: bytes | None) -> None:
    assert payload(raw) == data


def test_an_event_without_end_does_not_fill_the_memory() -> None:
    splitter = EventSplitter(max_event=10)
    with pytest.raises(BadBody, match="more than 10 bytes"):
        splitter.feed(b"data: 1234567890")


LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINES = st.sampled_from(
    [b"event: x", b"data: a", b"data:b", b"data", b"data: ", b": c", b"id: 1", b"event:data: x", b"dat"]
)


@given(st.lists(st.tuples(LINES, LINE_ENDS), max_size=5), LINE_ENDS)
def test_what_an_event_says_does_not_hang_on_its_line_ends_or_other_lines(
    lines: list[tuple[bytes, bytes]], end: bytes
) -> None:
    event = b"".join(line + line_end for line, line_end in lines) + end
    said = [line[5:].removeprefix(b" ") for line, _ in lines if line == b"data" or line.startswith(b"data:")]
    assert payload(event) == (b"\n".join(said) if said else None)


@given(st.lists(st.sampled_from([b"data: a", b"x", b"\n", b"\r\n", b"\r", b"event: e", b" "]), max_size=12))
def test_a_chunk_is_cut_as_it_would_be_byte_by_byte(parts: list[bytes]) -> None:
    def cut(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
        splitter = EventSplitter()
        return [event for piece in pieces for event in splitter.feed(piece)], splitter.rest()

    whole = b"".join(parts)
    assert cut([whole]) == cut([whole[at : at + 1] for at in range(len(whole))])
