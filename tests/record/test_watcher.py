"""A watcher tells what has changed in a store since it last looked: each thing once, on each kind of database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from drawbar.record import schema
from drawbar.record.rows import CallRow, ScoreRow, SessionRow, SummaryRow, ToolCallRow
from drawbar.record.store import Store
from drawbar.watching.changes import Change, Gone, Pulse, Watched, from_line, to_lines
from drawbar.watching.watcher import Watcher

MakeCall = Callable[..., CallRow]


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def sessions(changes: list[Change]) -> dict[str, Watched]:
    return {change.id: change for change in changes if isinstance(change, Watched)}


def pulse(changes: list[Change]) -> Pulse:
    last = changes[-1]
    assert isinstance(last, Pulse)
    return last


def score(session: str, value: float | None, **fields: Any) -> ScoreRow:
    given: dict[str, Any] = {
        "id": f"{session}{value}{fields.get('name')}", "name": "good", "kind": "reward", "weight": 1.0,
        "rubric_version": "r1", "source": "live", "created": 1.0,
    }  # fmt: skip
    return ScoreRow(session=session, value=value, **{**given, **fields})


def summary(session: str, **fields: Any) -> SummaryRow:
    given: dict[str, Any] = dict.fromkeys(
        ("turns", "calls", "failed_calls", "tool_calls", "tool_errors", "prompt_tokens", "completion_tokens",
         "cached_tokens", "reasoning_tokens"), 0,
    )  # fmt: skip
    more: dict[str, Any] = {"cost": None, "model": "m", "upstreams": "", "health": "good", "findings": "", "created": 1}
    return SummaryRow(session=session, **{**given, **more, **fields})


def test_a_session_is_told_as_it_opens_works_ends_and_is_scored(
    store: Store, make_call: MakeCall, make_tool_call: Callable[..., ToolCallRow]
) -> None:
    clock = Clock()
    watcher = Watcher(store, now=clock)
    assert sessions(watcher.look()) == {}
    row = SessionRow(
        id="s", started=1000.0, harness="codex", origin="content", metadata=b'{"user":"ada","tags":["a","b"]}'
    )
    store.write([row, make_call("s", 0, id="call_1", started=1000.0)])
    first = watcher.look()
    told = sessions(first)["s"]
    assert (told.agent, told.model, told.user, told.tags, told.doing) == ("codex", "m", "ada", ["a", "b"], "model")
    assert (told.calls, told.turns, told.failed_calls, pulse(first).open, pulse(first).under_way) == (1, 0, 0, 1, 1)
    assert sessions(watcher.look()) == {}  # nothing has changed

    answered = {"status": "answered", "prompt_tokens": 7, "completion_tokens": 2, "cost": 0.5, "ended": 1002.0}
    store.write([make_call("s", 0, id="call_1", started=1000.0, **answered)])
    store.write([make_tool_call("s", 0, id="tool_1", started=1002.0, ended=None, status="started")])
    clock.time = 1004.0
    second = watcher.look()
    told = sessions(second)["s"]
    assert (told.turns, told.tokens, told.cost, told.heard, told.doing) == (1, 9, 0.5, 1002.0, "tool search")
    assert (pulse(second).per_second, pulse(second).error_rate, pulse(second).window) == (0.25, 0.0, 4.0)

    ended = SessionRow(id="s", started=1000.0, ended=1005.0, status="ended", stop="completed", origin="content")
    failed = make_call("s", 1, id="call_2", started=1004.0, ended=1005.0, status="failed")
    store.write([ended, failed, make_tool_call("s", 0, id="tool_1", started=1002.0, ended=1003.0)])
    third = watcher.look()
    told = sessions(third)["s"]
    assert (told.status, told.stop, told.calls, told.failed_calls, told.health) == (
        "ended",
        "completed",
        2,
        1,
        "unknown",
    )
    assert (pulse(third).open, pulse(third).error_rate) == (0, 0.5)  # the last call of an ended session counts too

    store.write([summary("s", turns=1, calls=2, failed_calls=1, health="defect", findings="\nfailed_call\n")])
    store.write([score("s", 0.25), score("s", 1.0, name="words", kind="metric", weight=0.0)])
    store.write([score("s", 1.0, name="thumbs", kind="feedback", weight=0.0, rubric_version="")])
    told = sessions(watcher.look())["s"]
    assert (told.reward, told.rubric, told.scores) == (0.25, "r1", {"good": 0.25, "words": 1.0})
    assert (told.feedback, told.health, told.findings) == ({"thumbs": 1.0}, "defect", ["failed_call"])
    assert sessions(watcher.look()) == {}


def test_calls_are_counted_once_however_often_they_are_looked_at(store: Store, make_call: MakeCall) -> None:
    clock = Clock()
    watcher = Watcher(store, now=clock)
    store.write([SessionRow(id="s", started=1000.0)])
    over = {"status": "answered", "prompt_tokens": 1}
    found = None
    for second in range(60):
        clock.time = 1000.0 + second
        at = {"started": clock.time, "ended": clock.time}
        store.write([make_call("s", second, id=f"call_{second:02}a", **over, **at)])
        if second == 30:  # of a gateway whose clock is behind
            store.write([make_call("s", second, id="call_29z", **over, **at)])
        found = watcher.look()
    assert found is not None
    told = sessions(found)["s"]
    assert (told.turns, told.prompt_tokens, round(pulse(found).per_second or 0, 2)) == (61, 61, round(61 / 59, 2))


def test_a_call_whose_gateway_was_killed_does_not_hold_up_the_others(store: Store, make_call: MakeCall) -> None:
    clock = Clock()
    watcher = Watcher(store, now=clock)
    store.write([SessionRow(id="s", started=1000.0), make_call("s", 0, id="call_0", started=1000.0)])
    watcher.look()
    clock.time += 5000.0
    assert sessions(watcher.look()) == {}
    told = sessions(watcher.look())["s"]  # settled by now: nobody will answer it
    assert (told.calls, told.turns, told.failed_calls, told.doing) == (1, 0, 1, None)


def test_only_what_the_filter_means_is_told_and_as_long_as_it_does(store: Store) -> None:
    over: dict[str, Any] = {"status": "ended", "stop": "completed", "started": 900.0, "ended": 999.0}
    store.write([SessionRow(id="s1", harness="codex", **over), SessionRow(id="s2", harness="loop", **over)])
    store.write([SessionRow(id="s3", harness="codex", started=999.0), SessionRow(id="s4", harness="loop", started=1.0)])
    codex = Watcher(store, "agent = codex", now=Clock())
    assert sessions(codex.look()).keys() == {"s1", "s3"}
    rewarded = Watcher(store, "reward > 0.5", now=Clock())
    assert sessions(rewarded.look()) == {}
    store.write([score("s1", 1.0), score("s2", 0.0)])
    assert sessions(rewarded.look()).keys() == {"s1"}  # its reward came after its end
    store.write([score("s1", 0.0, created=2.0)])
    assert Gone(id="s1") in rewarded.look()


def test_more_ends_than_are_watched_on_are_all_counted(store: Store, make_call: MakeCall) -> None:
    clock = Clock()
    watcher = Watcher(store, ended=3, now=clock)
    watcher.look()
    clock.time += 10
    for number in range(8):
        over: dict[str, Any] = {"started": 1001.0, "ended": 1001.0 + number}
        call = make_call(f"s{number}", id=f"call_{number}", status="failed", **over)
        store.write([SessionRow(id=f"s{number}", status="ended", **over), call, score(f"s{number}", number / 10)])
    first = watcher.look()
    assert sessions(first).keys() == {"s5", "s6", "s7"}
    assert (pulse(first).per_second, pulse(first).error_rate) == (0.8, 1.0)
    again = watcher.look()
    assert (sessions(again), pulse(again).per_second) == ({}, 0.8)
    store.write([SessionRow(id="s8", status="ended", started=1001.0, ended=1010.0)])
    assert Gone(id="s5") in watcher.look()


def test_rewards_of_different_rubrics_are_never_in_one_mean(store: Store) -> None:
    for number in range(5):
        version = "r1" if number < 3 else "r2"
        store.write([SessionRow(id=f"s{number}", status="ended", started=1.0, ended=2.0 + number)])
        store.write([score(f"s{number}", float(number % 2), rubric_version=version)])
    found = pulse(Watcher(store, now=Clock()).look()).rewards
    assert [(each.rubric, each.sessions, each.mean) for each in found] == [("r1", 3, 1 / 3), ("r2", 2, 0.5)]
    assert found[0].low is not None
    assert found[0].low < 1 / 3 < (found[0].high or 0)


def test_what_is_told_reads_back_from_its_lines(store: Store) -> None:
    store.write([SessionRow(id="s", started=1.0)])
    told = Watcher(store, now=Clock()).look()
    assert [from_line(line) for line in to_lines(told).splitlines()] == told


def test_a_look_reads_no_table_from_end_to_end(sqlite_store: Store, make_call: MakeCall) -> None:
    over: dict[str, Any] = {"status": "ended", "started": 1.0, "ended": 2.0}
    sqlite_store.write([SessionRow(id="s", started=1.0), SessionRow(id="t", **over), make_call("s"), score("t", 1.0)])
    said: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        said.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        for where in ("", "reward > 0.5 and user = ada"):
            watcher = Watcher(sqlite_store, where, now=Clock())
            watcher.look()
            watcher.look()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    plans = []
    with sqlite_store.reading() as connection:
        driver: Any = connection.connection.driver_connection
        connection.execute(text("SELECT 1"))
        for statement, parameters in said:
            if statement.startswith(("SELECT", "WITH")):
                plans += [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    tables = tuple(f"SCAN {name}" for name in (*schema.METADATA.tables, "c"))
    scans = {plan for plan in plans if plan.startswith(tables)}
    assert len(plans) > 20
    assert scans <= {"SCAN session USING INDEX session_open"}
