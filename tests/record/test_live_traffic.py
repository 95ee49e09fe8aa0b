"""Live sessions of a stretch of time, page by page, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from drawbar.errors import ConfigurationError
from drawbar.record import live_traffic
from drawbar.record.filter import EVERYTHING, where
from drawbar.record.live_traffic import LiveSession, Page, Stretch, pages, sizes_of, still_open, stretches
from drawbar.record.rows import CallRow, Row, ScoreRow, SessionRow, ToolCallRow
from drawbar.record.select_groups import by_columns
from drawbar.record.store import Store

ALL = Stretch(0.0, 1e9)


def live(id: str, started: float = 5.0, **more: Any) -> SessionRow:
    return SessionRow(**{"id": id, "started": started, "ended": started + 1, "status": "ended", **more})


def read(store: Store, filter: str = "", stretch: Stretch = ALL, timed: float = 1.0) -> list[Page]:
    return list(pages(store, where(filter), by_columns("model"), stretch, timed))


def test_each_session_comes_once_in_its_order_with_what_is_known_of_it(
    store: Store,
    make_call: Callable[..., CallRow],
    make_tool_call: Callable[..., ToolCallRow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_traffic, "PAGE", 2)
    rows: list[Row] = []
    for n in range(5):
        rows += [live(f"s{n}", 5.0 + n // 2, metadata=b'{"user":"ada"}' if n else b"{}"), make_call(f"s{n}", cost=0.5,
                 status="answered", ended=12.0, prompt_tokens=3)]  # fmt: skip
    rows += [make_call("s3", 1, status="failed", ended=99.0), make_tool_call("s3"), make_tool_call("s3", 1, tool="x")]
    rows += [make_tool_call("s3", 2, tool="x", is_error=True)]
    rows += [
        ScoreRow(id="1", session="s3", name="ok", kind="reward", value=0.5, weight=2.0, rubric_version="v",
                 source="live", created=1.0)
    ]  # fmt: skip
    rows += [live("silent"), live("rollout", run="r"), make_call("rollout"), live("busy", status="open", ended=None)]
    store.write([*rows, make_call("busy")])
    found = read(store)
    assert [[each.id for each in page.sessions] for page in found] == [["s0", "s1"], ["s2", "s3"], ["s4"]]
    page = found[1]
    assert page.sessions[1] == LiveSession(
        id="s3", started=6.0, continues=None, user="ada", turns=1, calls=2, failed_calls=1, tool_calls=3, tool_errors=1,
        prompt_tokens=3, completion_tokens=0, cost=0.5, health="unknown", by=("m",),
    )  # fmt: skip
    assert page.scores["s3"] == [("ok", 0.5, 2.0, "v", False)]
    assert page.latencies == {"s2": [2.0], "s3": [2.0]}
    assert sorted(page.tools["s3"]) == [("search", 1), ("x", 2)]
    assert [each.id for page in read(store, "user is null") for each in page.sessions] == ["s0"]
    assert [each.id for page in read(store, stretch=Stretch(6.0, 7.0)) for each in page.sessions] == ["s2", "s3"]
    assert sizes_of(store, EVERYTHING, by_columns("user"), ALL) == {("ada",): 4, (None,): 1}
    assert sizes_of(store, EVERYTHING, (), ALL) == {(): 5}
    assert sizes_of(store, EVERYTHING, (), Stretch(2e9, 3e9)) == {}
    assert still_open(store, EVERYTHING, ALL) == 1


def test_of_many_sessions_a_part_is_timed(store: Store, make_call: Callable[..., CallRow]) -> None:
    rows: list[Row] = []
    for n in range(200):
        rows += [live(f"s{n}"), make_call(f"s{n}", status="answered", ended=12.0)]
    store.write(rows)
    [page] = read(store, timed=0.5)
    assert len(page.sessions) == 200
    assert 70 < len(page.latencies) < 130
    assert read(store, timed=0.5)[0].latencies == page.latencies
    assert read(store, timed=0.0)[0].latencies == {}


def test_stretches_are_said_by_their_length_or_by_their_ends() -> None:
    day, now = 86400.0, 1_800_000_000.0
    assert stretches("7d", "1d", now) == (Stretch(now - 8 * day, now - day), Stretch(now - day, now))
    first, second = stretches("2026-11-01..2026-11-03", "2026-11-03..now", now)
    assert first.end == second.begin == first.begin + 2 * day
    assert second.end == now
    assert stretches("1h", "2026-11-03..now", now)[0].end == second.begin


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("soon", "1d", "--before soon: expected a length of time"),
        ("1d", "2026-11-03..x", "--after 2026-11-03..x: expected a time"),
        ("1d", "2026-11-03..2026-11-01", "it ends before it begins"),
        ("3d..now", "1d", "--before must be over when --after begins"),
        ("0", "1d", "it ends before it begins"),
    ],
)
def test_a_stretch_that_cannot_be_is_told(before: str, after: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        stretches(before, after, 1_800_000_000.0)
