"""Replies by the names that their provider gave them."""

from __future__ import annotations

import pytest

from drawbar.record import replies as replies_module
from drawbar.record.replies import Replies, Reply


def test_a_name_leads_to_the_newest_reply_that_has_it() -> None:
    replies = Replies()
    replies.note(["resp_1", "conv"], Reply(b"1", 1))
    replies.note(["resp_2", "conv"], Reply(b"2", 3))
    assert replies.find("resp_1") == Reply(b"1", 1)
    assert replies.find("conv") == Reply(b"2", 3)
    assert replies.find("resp_3") is None
    assert replies.find(None) is None


def test_the_oldest_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies_module, "MOST_REMEMBERED", 10)
    replies = Replies()
    for number in range(100):
        replies.note([f"resp_{number}"], Reply(b"node", number))
    assert replies.find("resp_99") is not None
    assert sum(replies.find(f"resp_{number}") is not None for number in range(100)) <= 10
