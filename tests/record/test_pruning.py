"""Deleting sessions: all that is theirs goes, and nothing that others need, whatever happens meanwhile."""

from __future__ import annotations

import importlib.util
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from drawbar.errors import StoreError
from drawbar.record import sweeping
from drawbar.record.filter import EVERYTHING, Filter, where
from drawbar.record.pruning import SCORING, Planned, Pruning, planned
from drawbar.record.rows import LiveScoringRow, RunRow, ScoreRow
from drawbar.record.store import Store
from drawbar.record.sweeping import GRACE

LATER = 1e9
"""Long after everything here."""


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"drawbar_tests_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


pruned: Any = _beside("pruned")


def prune(store: Store, *filters: Filter, now: float = LATER) -> Pruning:
    pruning = Pruning(store, now=lambda: now)
    for _ in pruning.steps(filters or (EVERYTHING,)):
        pass
    return pruning


def take_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drawbar.record.freed.LONGEST", 0.0)
    monkeypatch.setattr("drawbar.record.pruning._LEAST_SESSIONS", 1)
    monkeypatch.setattr("drawbar.record.pruning._LEAST_ROWS", 1)


def fill(store: Store, seed: int, sessions: int = 24) -> tuple[list[str], Filter]:
    """Many sessions, and a filter that means about half of them."""
    chosen = random.Random(seed)
    ids = [f"ses_{n:02}" for n in range(sessions)]
    for id in ids:
        store.write(pruned.session_rows(id, pruned.random_words(chosen)))
    going = chosen.sample(ids, sessions // 2)
    return [id for id in ids if id not in going], where(f"session in ({', '.join(going)})")


@pytest.mark.parametrize("seed", range(4))
def test_what_others_need_stays_and_all_else_goes(store: Store, seed: int) -> None:
    staying, going = fill(store, seed)
    before = pruned.told(store, staying)
    freed = prune(store, going).freed
    assert (freed.sessions, freed.kept_for_now) == (12, 0)
    assert freed.bytes > 0
    assert [row.id for row in reversed(store.sessions())] == staying or {r.id for r in store.sessions()} == set(staying)
    assert pruned.told(store, staying) == before
    pruned.holds_just_what_is_needed(store)
    prune(store)
    assert store.sessions() == pruned.rows_of(store, "node") == pruned.rows_of(store, "blob") == []


def test_small_steps_come_to_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PAGE", "_HELD"):
        monkeypatch.setattr(sweeping, name, 2)
    take_small_steps(monkeypatch)
    staying, going = fill(store, 7)
    before = pruned.told(store, staying)
    prune(store, going)
    assert pruned.told(store, staying) == before
    pruned.holds_just_what_is_needed(store)


def test_a_round_that_is_left_at_any_step_is_gone_on_with_by_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_small_steps(monkeypatch)
    step, steps = 0, 1
    while step < steps:
        staying, going = fill(store, 11, sessions=4)
        before = pruned.told(store, staying)
        left = Pruning(store, now=lambda: LATER).steps([going])
        for _ in range(step):
            next(left, None)
        steps = step + 1 + sum(1 for _ in Pruning(store, now=lambda: LATER).steps([going]))
        assert pruned.told(store, staying) == before
        pruned.holds_just_what_is_needed(store)
        pruned.empty(store)
        step += 9


@pytest.mark.slow
def test_whoever_says_again_what_is_being_deleted_keeps_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)
    step, more = 0, True
    while more:
        store.write(pruned.session_rows("old", "abab"))
        store.write(pruned.session_rows("other", "aba"))
        round = Pruning(store, now=lambda: LATER).steps([EVERYTHING])
        for _ in range(step):
            more = next(round, None) is not None
        store.write(pruned.session_rows("new", "abab", ended=None))
        before = pruned.told(store, ["new"])
        for _ in round:
            pass
        assert pruned.told(store, ["new"]) == before
        assert len(store.trajectory("new").nodes) == 9
        pruned.holds_just_what_is_needed(store)
        pruned.empty(store)
        step += 3
    assert step > 5


def test_a_transaction_that_builds_on_what_is_to_go_is_waited_for(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It found the messages there, wrote none of them, and nobody can see yet that it needs them."""
    store = Store.open(postgres_url)
    writer = Store.open(postgres_url)
    store.write(pruned.session_rows("old", "ab"))
    waiting, go_on = threading.Event(), threading.Event()
    follow = writer._writer._statements._derived.follow

    def pause(*arguments: Any) -> None:
        follow(*arguments)
        waiting.set()
        assert go_on.wait(30)

    monkeypatch.setattr(writer._writer._statements._derived, "follow", pause)
    thread = threading.Thread(target=lambda: writer.write(pruned.session_rows("new", "ab", ended=None)))
    thread.start()
    assert waiting.wait(30)
    monkeypatch.setattr("drawbar.record.fence._TRIES", 2)
    with pytest.raises(StoreError, match="lock timeout"):
        prune(store)
    assert store.session("old") is None
    go_on.set()
    thread.join()
    prune(store)
    assert len(store.trajectory("new").nodes) == 5
    pruned.holds_just_what_is_needed(store)
    writer.close()
    store.close()


@pytest.mark.slow
def test_two_who_prune_beside_writers_lose_nothing(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)
    stores = [Store.open(store_url) for _ in range(4)]
    written: dict[str, Any] = {}
    troubles: list[BaseException] = []

    def write(number: int) -> None:
        chosen = random.Random(number)
        for n in range(24):
            id = f"ses_{number}_{n:03}"
            open = n % 3 == 0
            stores[number].write(pruned.session_rows(id, pruned.random_words(chosen), ended=None if open else 100.0))
            if open:
                written.update(pruned.told(stores[number], [id]))

    def clean(number: int) -> None:
        for _ in range(3):
            prune(stores[number])

    def run(work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=run, args=(clean if n > 1 else write, n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    prune(stores[0])
    assert pruned.told(stores[0], written) == written
    pruned.holds_just_what_is_needed(stores[0])
    for store in stores:
        store.close()


def test_what_a_gateway_may_remember_is_not_deleted_yet(store: Store) -> None:
    store.write(pruned.session_rows("old", "ab", ended=1000.0))
    freed = prune(store, now=1000.0 + GRACE - 1).freed
    assert (freed.sessions, freed.nodes) == (1, 0)
    assert freed.kept_for_now == len(pruned.rows_of(store, "node")) + len(pruned.rows_of(store, "blob")) == 9
    freed = prune(store, now=1000.0 + GRACE + 1).freed
    assert (freed.sessions, freed.nodes, freed.kept_for_now) == (0, 5, 0)
    pruned.holds_just_what_is_needed(store)


def test_open_sessions_and_those_that_are_still_to_be_scored_stay(store: Store) -> None:
    store.write(pruned.session_rows("open", "a", ended=None))
    store.write(pruned.session_rows("due", "a"))
    store.write([LiveScoringRow(session="due", rubric="shop", created=LATER - 10)])
    store.write([RunRow(id="run", environment="e", environment_version="1", rubric_version="r", harness="h", model="m",
                        rollouts=1, started=1.0)])  # fmt: skip
    store.write(pruned.session_rows("running", "a", run="run", ended=LATER - 10))
    store.write(pruned.session_rows("over", "a"))
    assert planned(store, [EVERYTHING], LATER) == Planned(sessions=1, calls=1, tool_calls=1, staying=3)
    assert prune(store).freed.sessions == 1
    assert {row.id for row in store.sessions()} == {"open", "due", "running"}
    prune(store, now=LATER + SCORING + GRACE)
    assert {row.id for row in store.sessions()} == {"open"}


def test_a_run_goes_with_its_last_session(store: Store) -> None:
    run = RunRow(id="run", environment="e", environment_version="1", rubric_version="r", harness="h", model="m",
                 rollouts=1, status="finished", started=1.0)  # fmt: skip
    store.write([run, *pruned.session_rows("one", "a", run="run"), *pruned.session_rows("two", "a", run="run")])
    prune(store, where("session = one"))
    assert store.runs() == [run]
    prune(store)
    assert store.runs() == []


def test_scores_that_come_while_their_session_goes_go_too(store: Store) -> None:
    store.write(pruned.session_rows("old", "ab"))
    steps = Pruning(store, now=lambda: LATER).steps([EVERYTHING])
    while pruned.rows_of(store, "call"):
        next(steps)
    score = ScoreRow(id="late", session="old", name="n", kind="feedback", value=1.0, weight=0.0, rubric_version="",
                     source="feedback", created=1.0)  # fmt: skip
    store.write([score])
    for _ in steps:
        pass
    pruned.holds_just_what_is_needed(store)


def test_a_session_of_many_calls_goes_in_many_steps(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)
    sqlite_store.write(pruned.session_rows("long", "ab" * 20))
    steps = 0
    for _ in Pruning(sqlite_store, now=lambda: LATER).steps([EVERYTHING]):
        assert sqlite_store.session("long") is None
        steps += 1
    assert steps > 40
    pruned.holds_just_what_is_needed(sqlite_store)
