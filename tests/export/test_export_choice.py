"""What is chosen among sessions that are fit: of each task, of duplicates, of environments."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.export.exported import begun, export, fallen
from tests.export.rollouts import looked_up, rollout, rollouts
from tests.export.stories import plain_story

from drawbar.errors import ConfigurationError, UnknownName
from drawbar.export.choice import Choice, Dedupe, Select, dedupe, order, selector, sources, weights
from drawbar.export.format import Row
from drawbar.export.held_out import HeldOutTasks, held_out
from drawbar.export.selecting import Unit, capped, mixed
from drawbar.record.store import Store
from drawbar.task import Task

TEXT = "Which of the two engines was the first that could be told what to do by cards, and who wrote its programs?"


def answers_of(rows: list[Row]) -> list[str]:
    return [row["messages"][-1]["content"] for row in rows]


def test_selectors_are_read_from_text() -> None:
    assert selector("best") == Select("best")
    assert (str(selector("best-n:4")), str(selector("all"))) == ("best-n:4", "all")
    with pytest.raises(UnknownName, match="shortest-correct"):
        selector("shortest-corect")
    with pytest.raises(ConfigurationError, match="best-n:4"):
        selector("best-n")
    with pytest.raises(ConfigurationError, match="takes no number"):
        selector("best:2")


def test_other_choices_are_read_from_text() -> None:
    assert (dedupe("none"), dedupe("exact"), dedupe("near:0.9")) == (Dedupe(), Dedupe(True), Dedupe(True, 0.9))
    assert weights("wiki=2, shop=1") == {"wiki": 2.0, "shop": 1.0}
    assert sources(["siblings,branches"]) == {"siblings", "branches"}
    for text in ("nea", "near:x", "near:0", "near:2", "exact:1"):
        with pytest.raises(ConfigurationError):
            dedupe(text)
    for text in ("", "wiki", "wiki=0", "wiki=-1", "wiki=many", "wiki=1,wiki=2", "=1", "wiki=inf", "wiki=nan"):
        with pytest.raises(ConfigurationError):
            weights(text)
    with pytest.raises(UnknownName, match="siblings"):
        sources(["sibling"])


@pytest.mark.parametrize(
    ("select", "taken"),
    [
        ("all", [0, 1, 2, 3]),
        ("best", [2]),
        ("best-n:2", [1, 2]),
        ("correct", [1, 2]),
    ],
)
def test_of_each_task_a_selector_takes_some(store: Store, select: str, taken: list[int]) -> None:
    rollouts(store, "a", [0.0, 1.0, 1.5, 0.5])
    rollouts(store, "b", [0.0])
    rows, tally = export(store, filter="task = a", choice=Choice(select=selector(select)))
    assert answers_of(rows) == [f"Answer {number}." for number in taken]
    assert fallen(tally).get("not_selected", 0) == 4 - len(taken)
    assert len(export(store, filter="task = b", choice=Choice(select=selector("correct")))[0]) == 0


def test_the_shortest_correct_one_has_the_fewest_tokens_of_the_models(store: Store) -> None:
    looked_up(store, "a", "x", "Long.", 1.0)
    rollout(store, "a", "Short.", 1.0).end()
    rollout(store, "a", "Wrong.", 0.0).end()
    assert answers_of(export(store, choice=Choice(select=selector("shortest-correct")))[0]) == ["Short."]


def test_ties_are_broken_by_the_seed_alone(store: Store) -> None:
    for task in range(12):
        rollouts(store, f"t{task}", [1.0] * 4)

    def taken(seed: int, select: str) -> set[str]:
        rows, _ = export(store, "trl", seed=seed, choice=Choice(select=selector(select)))
        return {str(row["messages"]) for row in rows}

    for select in ("best", "shortest-correct", "random-n:1"):
        assert taken(1, select) == taken(1, select) != taken(2, select)
        assert len(taken(1, select)) == 12


def test_a_selector_by_reward_leaves_out_sessions_without_one(store: Store) -> None:
    rollout(store, "a", "Unscored.").end()
    rollout(store, "a", "Scored.", 0.0).end()
    rows, tally = export(store, choice=Choice(select=selector("best")))
    assert (answers_of(rows), fallen(tally)) == (["Scored."], {"no_reward": 1})


def test_exact_duplicates_are_told_by_the_graph_of_messages(store: Store) -> None:
    for answer in ("Yes.", "Yes.", "No.", "Yes."):
        plain_story(store, "Is it?", answer).end()
    for choice in (Choice(dedupe=Dedupe(True)), Choice(dedupe=Dedupe(True), select=selector("random-n:9"))):
        rows, tally = export(store, choice=choice)
        assert (answers_of(rows), fallen(tally)) == (["Yes.", "No."], {"duplicate": 2})
    assert len(export(store)[0]) == 4


def test_of_duplicates_the_one_that_is_worth_most_is_kept(store: Store) -> None:
    for reward, model in ((0.0, "m"), (1.0, "n"), (0.5, "o")):
        rollout(store, "a", "Same.", reward, model=model).end()
    made = begun(store, choice=Choice(dedupe=Dedupe(True), per_task=9))
    assert sum(len(page) for page in made.pages()) == 1
    assert export(store, filter="model = n", choice=Choice(dedupe=Dedupe(True)))[1].sessions == 1
    kept = export(store, "trl-grpo", choice=Choice(dedupe=Dedupe(True), per_task=9))[0]
    assert kept[0]["rewards"] == [0.0, 1.0, 0.5]


def test_near_duplicates_are_alike_in_what_was_asked_and_in_what_was_answered(store: Store) -> None:
    said = [
        (f"{TEXT} Tell me.", f"It was the analytical engine. {TEXT}"),
        (f"{TEXT} Tell me!", f"It was the analytical engine! {TEXT}"),
        (f"{TEXT} Tell me.", "No idea."),
        ("Something else entirely, about the weather on the coast?", f"It was the analytical engine. {TEXT}"),
    ]
    for question, answer in said:
        plain_story(store, question, answer).end()
    rows, tally = export(store, choice=Choice(dedupe=dedupe("near")))
    assert len(rows) == 3
    assert fallen(tally) == {"near_duplicate": 1}
    assert len(export(store, choice=Choice(dedupe=dedupe("near:1")))[0]) == 4


def test_near_duplicates_that_are_worth_different_things_stay_where_that_is_what_is_told(store: Store) -> None:
    for mark, reward in ((".", 1.0), ("!", 0.0)):
        rollout(store, "a", f"It was the analytical engine. {TEXT}{mark}", reward).end()
    assert len(export(store, "trl", choice=Choice(dedupe=dedupe("near")))[0]) == 1
    assert len(export(store, "trl-dpo", choice=Choice(dedupe=dedupe("near")))[0]) == 1
    assert {row["label"] for row in export(store, "trl-kto", choice=Choice(dedupe=dedupe("near")))[0]} == {True, False}


def test_what_repeats_a_held_out_task_is_left_out(store: Store, tmp_path: Path) -> None:
    plain_story(store, f"Please: {TEXT.upper()} Thank you.").end()
    plain_story(store, "Who was Ada?").end()
    plain_story(store, "who was  ADA?").end()
    plain_story(store, "Who was Bob?").end()
    rollout(store, "Where?", "There.", task_hash=Task(prompt="Where was it?", answer="x").hash).end()
    file = tmp_path / "held.jsonl"
    file.write_text(f'{{"question": "{TEXT}"}}\n{{"prompt": "Who was Ada?"}}\n'
                    '{"prompt": "Where was it?", "answer": "x"}\n')  # fmt: skip
    rows, tally = export(store, choice=Choice(held_out=held_out([str(file)])))
    assert [row["messages"][0]["content"] for row in rows] == ["Who was Bob?"]
    assert fallen(tally) == {"held_out": 4}


def test_held_out_tasks_come_from_environments_too(tmp_path: Path) -> None:
    file = tmp_path / "quiz.py"
    file.write_text(
        "from drawbar import Environment, Task\n"
        "def environment():\n    return Environment(name='quiz', tasks=[Task(prompt='Who was Ada?')])\n"
    )
    found = held_out([str(file)])
    assert found.names == [str(file)]
    assert found.has(Task(prompt="Who was Ada?").hash)
    with pytest.raises(ConfigurationError, match="no task file"):
        held_out([str(tmp_path / "none.jsonl")])
    assert not HeldOutTasks([], []).has(None)


def test_caps_hold_for_tasks_and_for_environments(store: Store) -> None:
    for environment in ("wiki", "shop"):
        for task in "abc":
            rollouts(store, f"{environment} {task}", [1.0] * 5, environment=environment)
    rows, tally = export(store, "trl-grpo", choice=Choice())
    assert len(rows) == 6
    rows, tally = export(store, choice=Choice(per_task=2))
    assert set(Counter(row["messages"][0]["content"] for row in rows).values()) == {2}
    assert fallen(tally) == {"per_task": 18}
    rows, tally = export(store, seed=3, choice=Choice(per_task=2, per_environment=4))
    assert tally.environments == {"wiki": 4, "shop": 4}
    assert fallen(tally) == {"per_task": 18, "per_environment": 4}
    assert rows == export(store, seed=3, choice=Choice(per_task=2, per_environment=4))[0]
    rows, tally = export(store, limit=5, choice=Choice(per_task=2))
    assert (len(rows), fallen(tally)) == (5, {"per_task": 18, "enough": 7})


def test_a_mixture_has_its_shares(store: Store) -> None:
    for environment, count in (("wiki", 9), ("shop", 3), ("other", 4)):
        rollouts(store, f"in {environment}", [1.0] * count, environment=environment)
    _, tally = export(store, choice=Choice(mix=weights("wiki=2,shop=1")))
    assert tally.environments == {"wiki": 6, "shop": 3}
    assert fallen(tally) == {"mix": 7}
    made = begun(store, choice=Choice(mix=weights("wiki=2,none=1")))
    assert not any(made.pages())
    assert made.emptied is not None
    assert "too little is left of none" in made.emptied
    assert "other (4), shop (3), wiki (9)" in made.emptied


UNITS = st.lists(
    st.builds(
        Unit,
        st.uuids().map(lambda id: (str(id),)),
        st.integers(0, 3),
        st.sampled_from(["a", "b", None]),
        st.just(""),
    ),
    max_size=40,
)


@given(UNITS, st.integers(1, 5), st.integers(0, 3))
def test_capping_takes_as_many_as_it_may_and_nobody_else_moves_them(units: list[Unit], most: int, seed: int) -> None:
    kept = capped(units, most, lambda unit: unit.task, order(seed))
    assert kept == [unit for unit in units if unit in kept]
    counts, before = Counter(unit.task for unit in kept), Counter(unit.task for unit in units)
    assert counts == {task: min(most, count) for task, count in before.items()}
    fewer = [unit for unit in units if unit.task != 0]
    assert capped(fewer, most, lambda unit: unit.task, order(seed)) == [unit for unit in kept if unit.task != 0]


@given(UNITS, st.sampled_from([1.0, 2.0, 0.5]))
def test_mixing_never_takes_more_than_a_share(units: list[Unit], weight: float) -> None:
    kept = Counter(unit.environment for unit in mixed(units, {"a": weight, "b": 1.0}, order(0)))
    there = Counter(unit.environment for unit in units)
    assert set(kept) <= {"a", "b"}
    scale = min(there["a"] / weight, float(there["b"]))
    assert (kept["a"], kept["b"]) == (math.floor(scale * weight + 1e-9), math.floor(scale + 1e-9))
