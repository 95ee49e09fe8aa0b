"""Sessions read by filter: in their order, page by page, counted, and with the reason why there are none."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

from drawbar.record.filter import where
from drawbar.record.rows import CallRow, ScoreRow, SessionRow, ToolCallRow
from drawbar.record.select import PAGE, Clause
from drawbar.record.store import Store
from drawbar.record.summary import summary_of

Make = Callable[..., SessionRow]


def test_pages_follow_on_each_other_in_both_orders(store: Store, make_session: Make) -> None:
    rows = [make_session(id=f"s{n:04}", started=n // 7.0, model="mo"[n % 2]) for n in range(2 * PAGE + 5)]
    store.write(rows)
    order = [row.id for row in sorted(rows, key=lambda row: (row.started, row.id))]
    assert [row.id for row in store.select()] == order[::-1]
    assert [row.id for row in store.select(newest_first=False)] == order
    even = [id for id in order if not int(id[1:]) % 2]
    assert [row.id for row in store.overview(where("model = m"), newest_first=False)] == even
    assert [row.id for row in store.select(limit=PAGE + 1)] == order[::-1][: PAGE + 1]
    assert [row.id for row in store.select(limit=0)] == []
    assert store.count(where("model = m")) == len(even)


def test_sessions_that_come_and_go_while_others_are_read_disturb_nothing(store: Store, make_session: Make) -> None:
    store.write([make_session(id=f"s{n:04}", started=float(n)) for n in range(PAGE + 10)])
    reading = store.select()
    seen = [next(reading).id for _ in range(5)]
    store.write([make_session(id="new", started=1e9), make_session(id="s0001", started=1.0, status="ended")])
    seen += [row.id for row in reading]
    assert seen == [f"s{n:04}" for n in reversed(range(PAGE + 10))]


def test_a_session_in_one_line_tells_what_it_comes_to_with_a_summary_and_without(
    store: Store,
    make_session: Make,
    make_call: Callable[..., CallRow],
    make_tool_call: Callable[..., ToolCallRow],
) -> None:
    fields = {"task_key": "t", "harness": "loop", "metadata": b'{"user":"ada"}', "status": "ended", "ended": 3.0}
    score = {"kind": "reward", "weight": 1.0, "rubric_version": "r", "source": "rollout", "created": 1.0}
    store.write(
        [
            make_session(id="s", **fields),
            make_call("s", 0, status="answered", prompt_tokens=5, completion_tokens=2, cost=0.25, upstream="o/m"),
            make_call("s", 1, status="failed"),
            make_tool_call("s", is_error=True),
            ScoreRow(id="x", session="s", name="ok", value=0.5, **score),  # type: ignore[arg-type]  # of its fields
        ]
    )
    [before] = store.overview()
    assert (before.turns, before.calls, before.failed_calls, before.tool_calls, before.tool_errors) == (1, 2, 1, 1, 1)
    assert (before.prompt_tokens, before.completion_tokens, before.cost, before.reward) == (5, 2, 0.25, 0.5)
    assert (before.model, before.agent, before.task, before.rubric, before.health) == ("m", "loop", "t", "r", "unknown")
    store.write([summary_of(store.trajectory("s"))])
    [after] = store.overview()
    assert (after.health, "failed_call" in after.findings) == ("defect", True)
    for name in before.__struct_fields__:
        assert name in ("health", "findings") or getattr(after, name) == getattr(before, name), name


def test_of_a_filter_that_means_nothing_each_clause_says_how_many_it_leaves(store: Store, make_session: Make) -> None:
    store.write([make_session(id=f"s{n}", model="m", rollout=n) for n in range(4)])
    filter = where("model = m and rollout > 1 and not rollout > 1")
    assert store.count(filter) == 0
    assert store.explain(filter) == [
        Clause("model = m", 4, 4), Clause("rollout > 1", 2, 2), Clause("not rollout > 1", 2, 0),
    ]  # fmt: skip
    assert store.explain(where("model = x or model = y")) == [Clause("model = x or model = y", 0, 0)]


def test_scores_that_are_written_later_are_found_by_at_once(store: Store, make_session: Make) -> None:
    def score(id: str, version: str, value: float | None, created: float) -> ScoreRow:
        return ScoreRow(
            id=id, session="s", name="ok", kind="reward", value=value, weight=1.0, rubric_version=version,
            source="rescore", created=created,
        )  # fmt: skip

    store.write([make_session(id="s")])
    for row, reward in (
        (score("a", "r1", 1.0, 1.0), 1.0),
        (score("b", "r2", 0.0, 2.0), 0.0),
        (score("c", "r1", 9, 0), 0),
    ):
        store.write([row])
        assert [found.reward for found in store.overview()] == [reward]
        assert store.trajectory("s").reward == reward
    store.write([score("d", "r3", None, 3.0)])
    assert store.count(where("reward is null and rubric = r3 and score.ok is null")) == 1


def test_memory_does_not_grow_with_what_is_read(sqlite_store: Store, make_session: Make) -> None:
    task = b"x" * 20_000
    for start in range(0, 3000, 500):
        sqlite_store.write([make_session(id=f"s{start + n:05}", task=task + bytes([n % 250])) for n in range(500)])
    tracemalloc.start()
    try:
        assert sum(1 for _ in sqlite_store.select()) == 3000
        assert tracemalloc.get_traced_memory()[1] < 15_000_000  # all of the tasks are 60 MB
    finally:
        tracemalloc.stop()
