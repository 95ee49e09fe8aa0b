"""What live traffic comes to now: which sessions and calls count, and that no versions are mixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from drawbar.record import observing
from drawbar.record.filter import where
from drawbar.record.observing import Among, Seen
from drawbar.record.rows import CallRow, Row, ScoreRow, SessionRow, SummaryRow, ToolCallRow
from drawbar.record.store import Store

NOW = 1_000_000.0


def among(last: int | None = None, seconds: float = 3600.0, words: str = "") -> Among:
    return Among(where(words, now=NOW), NOW, NOW - seconds, last)


def live(id: str, ago: float, **more: Any) -> SessionRow:
    """A live session that ended so many seconds ago."""
    given = {"started": NOW - ago - 100, "ended": NOW - ago, "status": "ended", "origin": "content"}
    return SessionRow(**{"id": id, **given, **more})


def scored(session: str, value: float | None, version: str = "v1", name: str = "ok", **more: Any) -> ScoreRow:
    given = {"kind": "reward", "weight": 1.0, "source": "live", "created": NOW}
    id = f"{session}-{name}-{version}"
    return ScoreRow(**{"id": id, "session": session, "name": name, "value": value, "rubric_version": version,
                       **given, **more})  # fmt: skip


def call(session: str, id: str, ago: float, status: str = "answered", **more: Any) -> CallRow:
    given = {"seq": 0, "dialect": "chat", "path": "/", "model": "m", "started": NOW - ago - 1, "ended": NOW - ago}
    return CallRow(**{"id": id, "session": session, "status": status, **given, **more})


def near(seen: Seen) -> Seen:
    """The same, without what adding up leaves in the last digits."""
    return structs.replace(seen, value=None if seen.value is None else round(seen.value, 9))


def rewards(store: Store, asked: Among, rubric: str | None = None) -> Seen:
    with store.reading() as connection:
        return near(observing.rewards(connection, asked, rubric))


def test_the_mean_reward_is_of_the_newest_sessions_that_have_one(store: Store) -> None:
    rows: list[Row] = [live(f"s{n}", ago=n * 10) for n in range(6)]
    rows += [scored(f"s{n}", n / 10) for n in range(5)]  # s5 has none
    rows += [live("rollout", 1, run="run_1", origin="opened"), scored("rollout", 9.0)]
    rows += [live("open", 1, status="open", ended=None), scored("open", 9.0)]
    rows += [live("other", 1, environment="other"), scored("other", 0.7), live("unscored", 2), scored("unscored", None)]
    store.write(rows)
    asked = "environment is null"
    assert rewards(store, among(last=3, words=asked)) == Seen(value=0.1, count=3, rubric="v1")
    assert rewards(store, among(words=asked)).count == 5
    assert rewards(store, among(seconds=25, words=asked)).count == 3
    assert rewards(store, among(words="environment = other")).value == pytest.approx(0.7)
    assert rewards(store, among(words="environment = none")) == Seen(value=None)


def test_rewards_of_two_versions_are_never_in_one_mean(store: Store) -> None:
    rows: list[Row] = [live(f"s{n}", ago=n * 10) for n in range(7)]
    rows += [scored(f"s{n}", 1.0, "new") for n in range(3)] + [scored(f"s{n}", 0.0, "old") for n in range(3, 7)]
    store.write(rows)
    assert rewards(store, among()) == Seen(value=0.0, count=4, rubric="old", others=3)
    assert rewards(store, among(last=6)) == Seen(value=1.0, count=3, rubric="new", others=3)  # as many: the newer
    assert rewards(store, among(), rubric="ne") == Seen(value=1.0, count=3, rubric="new")


def test_scores_feedback_and_defects_have_means_too(store: Store) -> None:
    rows: list[Row] = [live("a", 1), live("b", 2), live("c", 3)]
    rows += [scored("a", 1.0), scored("a", 0.2, name="style"), scored("b", 0.4, name="style")]
    rows += [
        scored("a", 1.0, "", "thumbs", kind="feedback"),
        scored("a", 0.0, "", "score", kind="feedback"),
        scored("c", 0.0, "", "thumbs", kind="feedback"),
    ]
    nothing = dict.fromkeys(
        ("turns", "calls", "failed_calls", "tool_calls", "tool_errors", "prompt_tokens", "completion_tokens",
         "cached_tokens", "reasoning_tokens"), 0,
    )  # fmt: skip
    rows += [
        SummaryRow(session=id, **nothing, cost=None, model=None, upstreams="", health=health, findings="", created=NOW)
        for id, health in (("a", "good"), ("b", "defect"))
    ]
    store.write(rows)
    with store.reading() as connection:
        style = observing.scores(connection, among(), "style", None)
        thumbs = observing.feedback(connection, among(), "thumbs")
        people = observing.feedback(connection, among(), None)
        defects = observing.defects(connection, among())
    assert (near(style).value, style.count) == (0.3, 2)
    assert (thumbs.value, thumbs.count) == (0.5, 2)
    assert (people.value, people.count) == (0.25, 2)
    assert (defects.value, defects.count) == (0.5, 2)


def test_the_error_rate_is_of_the_newest_calls_of_all_live_sessions(store: Store) -> None:
    rows: list[Row] = [live("a", 10), live("open", 0, status="open", ended=None, started=NOW - 5e5)]
    rows += [live("held", 0, status="open", ended=None, origin="opened"), live("run", 5, run="r", origin="opened")]
    rows += [call("a", "c1", 3000), call("a", "c2", 200, "failed"), call("a", "c3", 150)]
    rows += [call("open", "c4", 100, "refused"), call("held", "c5", 50, "failed"), call("run", "c6", 20, "failed")]
    rows += [call("open", "c7", 10, "abandoned"), call("open", "c8", 5, "started", ended=None)]
    store.write(rows)

    def share(asked: Among) -> Seen:
        with store.reading() as connection:
            return near(observing.failed_calls(connection, asked))

    assert share(among()) == Seen(value=0.6, count=5)
    assert share(among(last=1)) == Seen(value=1.0, count=1)
    assert share(among(last=3)) == Seen(value=round(2 / 3, 9), count=3)
    assert share(among(last=100)).count == 5
    assert share(among(seconds=120)) == Seen(value=1.0, count=2)
    assert share(among(words="status = ended")).count == 3
    assert share(among(seconds=1)) == Seen(value=None)


def test_cost_is_the_sum_of_what_ended_in_the_window(store: Store) -> None:
    rows: list[Row] = [
        live("a", 10),
        call("a", "c1", 5000, cost=8.0),
        call("a", "c2", 50, cost=0.5),
        call("a", "c3", 40),
    ]
    store.write([*rows, call("a", "c4", 20, cost=0.25)])
    with store.reading() as connection:
        assert observing.cost(connection, among()) == Seen(value=0.75, count=3)
        assert observing.cost(connection, among(words="model = x")) == Seen(value=0.0, count=0)


def test_tools_that_fail_are_counted(store: Store, make_tool_call: Callable[..., ToolCallRow]) -> None:
    states: list[dict[str, Any]] = [{}, {"is_error": True}, {"status": "failed"}, {"status": "cancelled"}]
    rows = [make_tool_call("a", n, started=NOW - 20, ended=NOW - 9, **state) for n, state in enumerate(states)]
    store.write([live("a", 5), *rows])
    with store.reading() as connection:
        assert near(observing.failed_tool_calls(connection, among(last=10))) == Seen(value=round(2 / 3, 9), count=3)
