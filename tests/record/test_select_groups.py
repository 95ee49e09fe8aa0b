"""Sessions added up by columns, against the same sums in Python."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drawbar.errors import ConfigurationError
from drawbar.record.filter import where
from drawbar.record.rows import CallRow, ScoreRow, SessionRow
from drawbar.record.select_groups import by_columns
from drawbar.record.store import Store
from drawbar.record.summary import summary_of
from drawbar.rollout.breakdown import breakdown, mixed
from drawbar.rollout.statistics import clustered_mean

Make = Callable[..., SessionRow]
MONDAY = 1_796_601_600.0
"""2026-12-07, midnight in UTC."""
HOUR, DAY = 3600.0, 86400.0


@pytest.fixture
def filled(store: Store, make_session: Make, make_call: Callable[..., CallRow]) -> Store:
    """Twelve sessions, every eight hours from Sunday noon on; the first eight are rollouts of two tasks."""
    for n in range(12):
        id, task = f"s{n:02}", f"t{n % 2}" if n < 8 else None
        store.write(
            [
                make_session(
                    id=id, started=MONDAY - DAY / 2 + n * 8 * HOUR, model=f"m{n % 3}", task_hash=task,
                    metadata=b'{"release":"%d"}' % (n // 6), status="ended", ended=MONDAY + DAY,
                ),
                make_call(id, 0, status="answered", prompt_tokens=10 * n, completion_tokens=1, cost=0.5 if n else None),
                make_call(id, 1, status="failed" if n % 4 == 0 else "answered", completion_tokens=2),
            ]
        )  # fmt: skip
        if n != 5:
            score = ScoreRow(
                id=f"x{n}", session=id, name="ok", kind="reward", value=n / 4, weight=2.0, source="rollout",
                rubric_version="r2" if n == 11 else "r1", created=1.0,
            )  # fmt: skip
            store.write([score])
        if n % 2:
            store.write([summary_of(store.trajectory(id))])
    return store


def test_all_sessions_in_one(filled: Store) -> None:
    [group] = breakdown(filled.sums())
    assert (group.by, group.sessions, group.turns, group.failed_calls) == ((), 12, 21, 3)
    assert (group.prompt_tokens, group.completion_tokens, group.cost) == (660, 36, 5.5)
    assert (group.error_share, group.defect_share) == (3 / 24, 1.0)
    values = {n: n / 2 for n in range(12) if n != 5}
    clusters = [[values[n] for n in values if n < 8 and n % 2 == task] for task in (0, 1)]
    wanted = clustered_mean([*clusters, *([values[n]] for n in values if n >= 8)])
    assert wanted is not None
    assert group.reward is not None
    assert group.reward.clusters == wanted.clusters == 6
    for name in ("mean", "error", "low", "high", "count"):
        assert getattr(group.reward, name) == pytest.approx(getattr(wanted, name))
    assert mixed([group]) == {"r1": 10, "r2": 1}


def test_sessions_by_columns_and_days(filled: Store) -> None:
    groups = breakdown(filled.sums(by_columns("model,day"), where("model in (m0, m1)")))
    assert [(group.by, group.sessions) for group in groups] == [
        (("m0", MONDAY - DAY), 1), (("m0", MONDAY), 1), (("m0", MONDAY + DAY), 1), (("m0", MONDAY + 2 * DAY), 1),
        (("m1", MONDAY - DAY), 1), (("m1", MONDAY), 1), (("m1", MONDAY + DAY), 1), (("m1", MONDAY + 2 * DAY), 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("by", "found"),
    [
        ("week", {(MONDAY - 7 * DAY,): 2, (MONDAY,): 10}),
        ("hour", {(MONDAY - DAY / 2 + n * 8 * HOUR,): 1 for n in range(12)}),
        ("metadata.release", {("0",): 6, ("1",): 6}),
        ("task_hash", {("t0",): 4, ("t1",): 4, (None,): 4}),
        ("health", {("defect",): 6, ("unknown",): 6}),
        ("score.ok", {(n / 4,): 1 for n in range(12) if n != 5} | {(None,): 1}),
        ("rubric", {("r1",): 10, ("r2",): 1, (None,): 1}),
    ],
)
def test_sessions_by_whatever_has_one_value(filled: Store, by: str, found: dict[tuple[object, ...], int]) -> None:
    groups = breakdown(filled.sums(by_columns(by)))
    assert {group.by: group.sessions for group in groups} == found
    assert len(mixed(groups)) == (2 if by in ("week", "metadata.release", "task_hash", "health") else 0)


def test_of_a_run_the_version_that_most_sessions_have_comes_first(store: Store, make_session: Make) -> None:
    def score(session: str, version: str, created: float, kind: str = "reward") -> ScoreRow:
        return ScoreRow(
            id=f"{session}{version}", session=session, name="ok", kind=kind, value=1.0, weight=1.0, source="rollout",
            rubric_version=version, created=created,
        )  # fmt: skip

    store.write([make_session(id="a", run="run_1"), make_session(id="b", run="run_1"), make_session(id="c")])
    store.write([score("a", "r1", 1.0), score("b", "r1", 1.0), score("a", "r2", 2.0), score("c", "r9", 1.0)])
    assert list(store.rubrics("run_1").items()) == [("r1", 2), ("r2", 1)]
    store.write([score("b", "r2", 2.0), score("b", "f", 3.0, "feedback")])
    assert list(store.rubrics("run_1").items()) == [("r2", 2), ("r1", 2)]
    assert {id: len(rows) for id, rows in store.scores(["a", "b", "x"]).items()} == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    ("by", "says"),
    [("modle", "Did you mean 'model'"), ("tag", "one session can have several"), ("finding", "several"),
     ("score", "cannot be counted by 'score'"), ("model.x", "cannot be counted by 'model.x'")],
)  # fmt: skip
def test_what_sessions_cannot_be_counted_by_is_told(by: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        by_columns(by)
