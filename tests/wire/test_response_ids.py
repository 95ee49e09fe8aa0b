"""What a provider calls its answer, read out of an envelope that may hold anything."""

from __future__ import annotations

import pytest

from drawbar.wire.response_id import LONGEST, response_id


@pytest.mark.parametrize(
    ("envelope", "id"),
    [
        (b'{"id":"chatcmpl-1","object":"chat.completion"}', "chatcmpl-1"),
        (b'{"responseId":"Zr0ha"}', "Zr0ha"),
        (b'{"id":7}', None),
        (b'{"id":""}', None),
        (b'{"id":"a\\nb"}', None),
        (b'{"id":"' + b"x" * (LONGEST + 1) + b'"}', None),
        (b'{"id":"half \xed\xa0\x80"}', None),
        (b'{"id":"\xff"}', None),
        (b'{"id":"\\ud800"}', "\ufffd"),
        (b"[]", None),
        (b"", None),
    ],
)
def test_a_name_is_read_where_there_is_one(envelope: bytes, id: str | None) -> None:
    assert response_id(envelope) == id
