"""Filters over tasks, by how their rollouts did."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.export.exported import begun, export, fallen
from tests.export.rollouts import rollouts
from tests.export.stories import plain_story

from drawbar.errors import ConfigurationError
from drawbar.export.choice import Choice
from drawbar.export.task_filter import COLUMNS, MEANINGS, TaskRewards, emptied_by, meets, tasks_where
from drawbar.record.store import Store
from drawbar.rollout.statistics import pass_at_k, pass_hat_k


def task(*rewards: float, threshold: float = 1.0) -> TaskRewards:
    return TaskRewards(threshold, array("d", rewards))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("solve_rate between 0.1 and 0.9", True),
        ("solve_rate = 0.25", True),
        ("solve_rate != 0.25", False),
        ("solved = 1 and rollouts = 4", True),
        ("rollouts < 4 or rollouts > 4", False),
        ("not rollouts <= 3 and rollouts >= 4", True),
        ("rollouts in (2, 4)", True),
        ("mean_reward = 0.4", True),
        ("best_reward = 1 and worst_reward = 0", True),
        ("reward_spread = 1", True),
        ("reward_deviation > 0.36 and reward_deviation < 0.38", True),
        ("pass_at_1 = 0.25 and pass_at_4 = 1", True),
        ("pass_at_2 = 0.5", True),
        ("pass_hat_2 > 0", False),
        ("pass_at_5 is null", True),
        ("pass_at_5 < 2", False),
        ("", True),
    ],
)
def test_a_task_meets_what_is_said_of_its_rollouts(text: str, holds: bool) -> None:
    assert meets(task(0.0, 1.0, 0.3, 0.3), tasks_where(text).condition) is holds


def test_the_threshold_says_what_solves_a_task() -> None:
    assert meets(task(0.4, 0.5, 0.6, threshold=0.5), tasks_where("solved = 2").condition)
    assert meets(task(0.1 + 0.2, threshold=0.3), tasks_where("solve_rate = 1").condition)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=12), st.integers(1, 12))
def test_pass_at_k_is_that_of_reports(rewards: Sequence[float], k: int) -> None:
    of, solved = task(*rewards), int(sum(rewards))
    for name, estimator in (("pass_at", pass_at_k), ("pass_hat", pass_hat_k)):
        if k > len(rewards):
            assert meets(of, tasks_where(f"{name}_{k} is null").condition)
        else:
            assert meets(of, tasks_where(f"{name}_{k} = {estimator(len(rewards), solved, k)!r}").condition)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("solv_rate > 0", "there is no column 'solv_rate'. Did you mean 'solve_rate'"),
        ("pass_at_0 > 0", "there is no column 'pass_at_0'. Did you mean 'pass_at_"),
        ("reward > 0", "(--group) cannot be read at character 1"),
        ("rollouts", "rollouts must be compared"),
        ("rollouts contains 3", "rollouts is number and takes"),
        ("solve_rate > many", "expected a number"),
        ("solve_rate >", "its end"),
    ],
)
def test_a_filter_that_says_nothing_is_refused_and_near_names_are_told(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        tasks_where(text)
    assert said in str(refused.value)
    assert "score." not in str(refused.value)


def test_every_column_has_a_meaning() -> None:
    assert all(COLUMNS[name].meaning for name in COLUMNS)
    assert {"solve_rate", "pass_at_K", "rollouts", "mean_reward"} <= set(MEANINGS)


def test_what_empties_a_filter_is_said() -> None:
    tasks = [task(1.0, 1.0), task(0.0, 1.0, 1.0)]
    assert "No task meets `rollouts > 3`" in emptied_by(tasks_where("solve_rate > 0 and rollouts > 3"), tasks)
    said = emptied_by(tasks_where("solve_rate = 1 and rollouts = 3"), tasks)
    assert "None of the 1 tasks that the filter of tasks leaves before it meets `rollouts = 3` (1 alone)" in said


def test_tasks_are_taken_or_left_as_a_whole(store: Store) -> None:
    for name, rewards in {"easy": (1, 1), "hard": (0, 0), "fit": (0, 1, 0)}.items():
        rollouts(store, name, rewards)
    rows, tally = export(store, choice=Choice(tasks=tasks_where("solve_rate between 0.1 and 0.9")))
    assert [row["messages"][0]["content"] for row in rows] == ["fit"] * 3
    assert fallen(tally) == {"group": 4}
    assert (tally.meant, tally.looked_at, tally.sessions) == (7, 7, 3)


def test_a_rollout_that_is_not_fit_for_training_counts_for_its_task(store: Store) -> None:
    from tests.export.rollouts import rollout
    from tests.export.stories import answers, chat, says

    rollouts(store, "a", [1.0])
    cut = rollout(store, "a", "Well,", 0.0, rollout=1)
    cut.exchange(chat("a", says("Well,"), "Go on."), answers(says("it"), "length"))
    cut.end()
    rows, tally = export(store, choice=Choice(tasks=tasks_where("solve_rate = 0.5 and rollouts = 2")))
    assert len(rows) == 1
    assert fallen(tally) == {"truncation": 1}
    assert export(store, filter="reward = 1", choice=Choice(tasks=tasks_where("rollouts = 1")))[0]


def test_live_sessions_that_begin_alike_are_one_task(store: Store) -> None:
    for question, answer in (("Hi?", "Hello."), ("Hi?", "Yes?"), ("Bye?", "Bye.")):
        story = plain_story(store, question, answer)
        story.score(1.0)
        story.end()
    rows, _ = export(store, choice=Choice(tasks=tasks_where("rollouts = 2")))
    assert [row["messages"][0]["content"] for row in rows] == ["Hi?", "Hi?"]


def test_an_export_that_a_filter_of_tasks_empties_says_by_what(store: Store) -> None:
    rollouts(store, "a", [1.0, 0.0])
    made = begun(store, choice=Choice(tasks=tasks_where("solve_rate > 0.9")))
    assert list(made.pages()) == []
    assert made.emptied is not None
    assert "No task meets `solve_rate > 0.9`" in made.emptied
