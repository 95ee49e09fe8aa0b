"""Whatever a filter says, the store finds the sessions for which it is true of the trajectory."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.record import filter_reference as reference
from tests.record.filter_reference import Said

from drawbar.ids import new_id
from drawbar.record.filter import where
from drawbar.record.rows import CallRow, Row, ScoreRow, SessionRow, ToolCallRow
from drawbar.record.store import Store
from drawbar.record.summary import summary_of
from drawbar.task import Task
from drawbar.trajectory import Trajectory

WORDS = ("a", "b", "A", "a%b", "it's", "x_y", "[a]*?", "ä", "", "openai", "openai/a", "two\nlines", '\\"')
AMOUNTS = (0, 1, 2, 3, 0.5, 1.5, -1, 10)


def _chance(source: random.Random, *values: Any) -> Any:
    return source.choice((None, *values))


def _session(source: random.Random, number: int) -> list[Row]:
    """One session as it could have been recorded: any of it may be missing."""
    id = new_id("ses")
    task = Task(key=source.choice(("t1", "t2")), prompt="?")
    metadata = {
        "tags": source.sample(("a", "b", "3"), source.randrange(3)), "user": _chance(source, "a", "ada lovelace"),
        "a b": _chance(source, 1, 1.5, "2", "x", True),
    }  # fmt: skip
    ended = source.random() < 0.7
    has_task = source.random() < 0.5
    rows: list[Row] = [
        SessionRow(
            id=id, environment=_chance(source, "a", "it's"), harness=_chance(source, "a", "b"),
            model=_chance(source, "a", "x_y"), task_key=task.key if has_task else None,
            task_hash=task.hash if has_task else None, task=task.to_json() if has_task else None,
            rollout=source.randrange(3), metadata=orjson.dumps(metadata) if source.random() < 0.8 else b"{}",
            status="ended" if ended else "open", origin=source.choice(("opened", "content")),
            stop=_chance(source, "completed", "limit_turns", "cancelled") if ended else None,
            started=float(source.randrange(5)), ended=10.0 if ended else None,
        )
    ]  # fmt: skip
    for seq in range(source.randrange(3)):
        rows.append(
            CallRow(
                id=f"{id}{seq}", session=id, seq=seq, dialect="chat", path="/",
                model=source.choice(("a", "two\nlines")),
                upstream=source.choice(("", "openai/a", "openai", "other/x/y")), started=1.0,
                status=source.choice(("answered", "failed")), prompt_tokens=_chance(source, 1, 3),
                completion_tokens=_chance(source, 2), cost=_chance(source, 0.5),
            )
        )  # fmt: skip
    for seq in range(source.randrange(3)):
        rows.append(
            ToolCallRow(
                id=f"{id}t{seq}", session=id, seq=seq, server="s", tool="t", name="t", arguments=b"{}", started=1.0,
                status=source.choice(("answered", "failed")), is_error=source.random() < 0.5,
            )
        )  # fmt: skip
    for place in range(source.randrange(6)):
        feedback = source.random() < 0.3
        rows.append(
            ScoreRow(
                id=f"{id}s{place}", session=id, name=source.choice(("correct", "style")),
                kind="feedback" if feedback else "reward", value=_chance(source, 0.0, 0.5, 1.0),
                weight=source.choice((0.0, 1.0, 2.0)), rubric_version="" if feedback else source.choice(("r1", "r2")),
                source="feedback" if feedback else "rollout", created=float(source.randrange(3)),
            )
        )  # fmt: skip
    return rows


@pytest.fixture
def recorded(store: Store) -> list[Trajectory]:
    """Sessions of all kinds, in a store; some that ended have no summary, as after a crash."""
    source = random.Random(7)
    for number in range(60):
        rows = _session(source, number)
        session = str(rows[0].id)  # type: ignore[union-attr]  # a session has one
        source.shuffle(rows)
        store.write(rows[: len(rows) // 2])
        store.write(rows[len(rows) // 2 :])
        read = store.trajectory(session)
        if read.status == "ended" and source.random() < 0.6:
            store.write([summary_of(read)])
    return [store.trajectory(row.id) for row in store.select()]


_text = st.builds(
    lambda column, operator, wanted: reference.texts(column, operator, wanted, reference.TEXTS[column]),
    st.sampled_from([name for name in reference.TEXTS if name not in ("status", "origin")]),
    st.sampled_from(("=", "!=", "in", "not in", "contains", "like", "is null", "is not null")),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
)
_label = st.builds(
    lambda column, operator, wanted: reference.texts(column, operator, wanted, reference.LABELS[column]),
    st.sampled_from([name for name in reference.LABELS if not name.startswith("metadata")]),
    st.sampled_from(("=", "!=", "in", "not in", "contains", "like", "is null", "is not null")),
    st.lists(st.sampled_from((*WORDS, "3", "ada%", "ada lovelace")), min_size=1, max_size=3),
)
_known = st.builds(
    lambda column, operator, wanted: reference.texts(column[0], operator, [column[1]], column[2]),
    st.sampled_from(
        [
            ("status", "open", reference.TEXTS["status"]), ("status", "ended", reference.TEXTS["status"]),
            ("origin", "content", reference.TEXTS["origin"]), ("upstream", "openai", reference.NAMES["upstream"]),
            ("upstream", "other/x/y", reference.NAMES["upstream"]), ("upstream", "", reference.NAMES["upstream"]),
        ]
    ),
    st.sampled_from(("=", "!=", "in", "not in", "is null", "is not null")),
    st.none(),
)  # fmt: skip
_number = st.builds(
    lambda column, operator, wanted: reference.numbers(column, operator, sorted(wanted), reference.NUMBERS[column]),
    st.sampled_from([name for name in reference.NUMBERS if name != "feedback"]),
    st.sampled_from(("=", "<", "<=", ">", ">=", "between", "in", "is null", "is not null")),
    st.lists(st.sampled_from(AMOUNTS), min_size=1, max_size=3),
)
_feedback = st.builds(
    lambda operator, wanted: reference.numbers("feedback", operator, wanted, reference.NUMBERS["feedback"]),
    st.sampled_from(("=", "<", ">=", "is null", "is not null")),
    st.lists(st.sampled_from(AMOUNTS), min_size=1, max_size=2),
)
_conditions = st.recursive(
    _text | _label | _known | _number | _feedback | st.builds(reference.valid),
    lambda inner: (
        st.builds(reference.negated, inner)
        | st.builds(reference.joined, st.sampled_from(("and", "or")), st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=6,
)


def test_any_filter_finds_the_sessions_of_which_it_is_true(store: Store, recorded: list[Trajectory]) -> None:
    @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(_conditions)
    def same(said: Said) -> None:
        filter = where(said.text, now=0.0)
        meant = [t.id for t in recorded if said.holds(t)]
        assert [row.id for row in store.select(filter)] == meant, said.text
        assert store.count(filter) == len(meant)

    same()


@pytest.mark.parametrize("words", ["health = {}", "finding = {}", "not finding = {}", "health != {}"])
def test_health_and_findings_are_known_of_sessions_that_were_looked_at(
    store: Store, make_session: Callable[..., SessionRow], make_call: Callable[..., CallRow], words: str
) -> None:
    store.write([make_session(id="well"), make_call("well", id="c", status="answered", reply=None)])
    store.write([make_session(id="unseen", started=0.5)])
    store.write([summary_of(store.trajectory("well"))])
    finding, health = store.trajectory("well").health[0].name, "defect"
    found = [row.id for row in store.select(where(words.format(health if "health" in words else finding)))]
    assert found == (["unseen"] if "!=" in words or "not" in words else ["well"])
