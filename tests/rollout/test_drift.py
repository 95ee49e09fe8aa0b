"""Live traffic before and after: what moved, what did not, and what cannot be said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from drawbar.record.filter import where
from drawbar.record.live_traffic import Stretch
from drawbar.record.rows import CallRow, Row, ScoreRow, SessionRow, ToolCallRow
from drawbar.record.select_groups import by_columns
from drawbar.record.store import Store
from drawbar.rollout import drift as drift_
from drawbar.rollout.drift import Drift, DriftGroup, Move, drift

BEFORE, AFTER = Stretch(0.0, 1000.0), Stretch(1000.0, 2000.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "drawbar.db")
    yield opened
    opened.close()


Add = Callable[..., None]


@pytest.fixture
def add(store: Store) -> Add:
    """Adds one live session."""
    random, ids = Random(5), iter(range(10**6))

    def add(
        side: int, *, reward: float | None = None, version: str = "v1", user: str | None = None, slow: float = 1.0,
        tools: tuple[str, ...] = ("search",), fails: bool = False, model: str = "m", **more: Any,
    ) -> None:  # fmt: skip
        n = next(ids)
        id = more.get("id", f"s{n:06}")
        started = more.get("started", 1000.0 * side + 900 * random.random())
        metadata = b"{}" if user is None else b'{"user":"%s"}' % user.encode()
        rows: list[Row] = [
            SessionRow(**{"id": id, "started": started, "ended": started + 9, "status": "ended", "metadata": metadata,
                          "model": model, **more}),
            CallRow(id="c", session=id, seq=0, dialect="chat", path="/", model=model, started=started, cost=0.01,
                    ended=started + slow * random.lognormvariate(0.0, 0.3), prompt_tokens=100 + n % 7,
                    completion_tokens=10, status="failed" if fails else "answered"),
        ]  # fmt: skip
        for k, tool in enumerate(tools):
            rows.append(
                ToolCallRow(id=f"t{k}", session=id, seq=k, server="x", tool=tool, name=tool, arguments=b"{}",
                            status="answered", started=started, ended=started)
            )  # fmt: skip
        if reward is not None:
            rows.append(
                ScoreRow(id="r", session=id, name="ok", kind="reward", value=reward, weight=1.0, rubric_version=version,
                         source="live", created=started)
            )  # fmt: skip
        store.write(rows)

    return add


def moves(found: Drift) -> dict[str, Move]:
    [group] = found.groups
    return {move.name if move.rubric is None else f"{move.name}@{move.rubric}": move for move in group.moves}


def test_what_moved_is_named_and_what_did_not_is_not(store: Store, add: Add) -> None:
    random = Random(2)
    for side in (0, 1):
        for n in range(80):
            add(
                side, reward=min(1.0, max(0.0, random.gauss(0.8 - 0.3 * side, 0.15))), slow=1 + 2 * side,
                fails=n % 20 == 0, tools=("search", "refund") if side and n % 2 else ("search",),
            )  # fmt: skip
    found = drift(store, BEFORE, AFTER)
    assert found.remarks == ()
    assert found.groups[0].sessions == found.groups[0].clusters == (80, 80)
    by_name = moves(found)
    assert {name for name, move in by_name.items() if move.moved} == {
        "reward@v1", "score.ok@v1", "latency_p50", "latency_p90", "tool_calls", "share of refund", "share of search",
    }  # fmt: skip
    reward = by_name["reward@v1"]
    assert reward.shift.difference is not None
    assert reward.shift.difference == pytest.approx(-0.25, abs=0.1)
    assert reward.shift.low is not None
    assert reward.shift.high is not None
    assert reward.shift.low < reward.shift.difference < reward.shift.high < -0.1
    assert by_name["error_rate"].shift.before == 0.05
    assert by_name["cost"].shift.before == pytest.approx(0.01)
    assert by_name["share of refund"].shift.after == pytest.approx(40 / 120)
    assert found.to_json()["groups"][0]["metrics"][0]["name"] == "reward"


def test_scores_of_two_rubric_versions_are_never_compared(store: Store, add: Add) -> None:
    for side in (0, 1):
        for n in range(30):
            add(side, reward=0.5 + 0.4 * side + n / 1000, version=f"v{side + 1}")
        for n in range(15):
            add(side, reward=0.5 + n / 1000, version="both")
    by_name = moves(found := drift(store, BEFORE, AFTER))
    assert by_name["reward@v1"].why_not == "only before"
    assert by_name["reward@v2"].why_not == "only after"
    assert by_name["reward@both"].moved is False
    assert "Rubric versions differ (v1 only before; v2 only after): their scores are not compared." in found.remarks[0]


def test_one_users_many_sessions_do_not_make_a_change_sure(store: Store, add: Add) -> None:
    """Of twelve users a side, half happy: by sessions a difference would be sure, by users it is chance."""
    for side, happy in ((0, 8), (1, 5)):
        for user in range(12):
            for _ in range(15):
                add(side, reward=float(user < happy), user=f"u{side}-{user}")
    move = moves(found := drift(store, BEFORE, AFTER))["reward@v1"]
    assert found.groups[0].clusters == (12, 12)
    assert move.moved is False
    assert move.shift.p is not None
    assert move.shift.p > 0.1


def test_sessions_that_continue_one_another_are_one_cluster(store: Store, add: Add) -> None:
    for side in (0, 1):
        for n in range(12):
            add(side, id=f"first{side}-{n:02}", started=1000.0 * side + n)
            add(side, id=f"then{side}-{n:02}", started=1000.0 * side + 100 + n, continues=f"first{side}-{n:02}")
            add(side, id=f"last{side}-{n:02}", started=1000.0 * side + 200 + n, continues=f"then{side}-{n:02}")
    assert drift(store, BEFORE, AFTER).groups[0].clusters == (12, 12)


def test_too_few_sessions_are_told_plainly(store: Store, add: Add) -> None:
    for n in range(40):
        add(0, reward=n / 40)
    for n in range(4):
        add(1, reward=n / 4)
    found = drift(store, BEFORE, AFTER)
    assert found.remarks == (
        "Only 4 live sessions of 4 users or families of sessions after: too few to tell a change from chance (it takes "
        "10).",
    )  # fmt: skip
    assert {move.why_not for move in moves(found).values()} == {"too few"}
    assert found.tests == 0
    found = drift(store, Stretch(-9.0, -1.0), AFTER)
    assert found.remarks[0] == "There are no live sessions before: nothing can be compared."


def test_groups_are_compared_each_for_itself_and_corrected_together(store: Store, add: Add) -> None:
    for side in (0, 1):
        for n in range(30):
            for model in ("a", "b"):
                add(side, reward=(0.9 if model == "a" or not side else 0.3) + n / 1000, model=model)
    found = drift(store, BEFORE, AFTER, by=by_columns("model"), filter=where("calls > 0"))
    groups: dict[Any, DriftGroup] = {group.by[0]: group for group in found.groups}
    rewards = {
        model: next(move for move in group.moves if move.name == "reward") for model, group in groups.items()
    }  # fmt: skip
    assert {model: move.moved for model, move in rewards.items()} == {"a": False, "b": True}
    assert found.tests == sum(move.shift.p is not None for group in found.groups for move in group.moves)
    assert rewards["a"].p_adjusted == 1.0


def test_where_nothing_changed_hardly_anything_is_said_to_have_moved(store: Store, add: Add) -> None:
    random = Random(11)
    for side in (0, 1):
        for n in range(60):
            add(side, reward=random.random(), fails=random.random() < 0.1, user=f"u{n % 25}",
                tools=tuple(random.choices(["a", "b", "c"], k=2)))  # fmt: skip
    assert [move.name for move in moves(drift(store, BEFORE, AFTER)).values() if move.moved] == []


def test_open_sessions_and_further_groups_are_left_out_and_told(
    store: Store, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_, "MOST_GROUPS", 2)
    monkeypatch.setattr(drift_, "MOST_NAMES", 2)
    monkeypatch.setattr(drift_, "SESSIONS_TIMED", 20)
    for side in (0, 1):
        for n in range(24):
            add(side, model=f"m{n % 3 if n < 20 else 0}", tools=("a", "b", "c"))
    add(1, status="open", ended=None)
    seen: list[tuple[int, int]] = []
    found = drift(
        store, BEFORE, AFTER, by=by_columns("model"), progress=lambda done, total: seen.append((done, total))
    )  # fmt: skip
    assert [group.by[0] for group in found.groups] == ["m0", "m1"]
    assert found.remarks[-4:] == (
        "1 sessions are still at work and left out.",
        "1 further groups, with fewer sessions, are left out.",
        "Some scores or tools are left out: at most 2 of each are compared.",
        "Latencies are of the model calls of about 20 sessions on a side, by chance.",
    )
    assert seen[-1] == (48, 48)
