"""Rubrics: what a scorer may ask for, weights, and what changes a version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drawbar import Environment, Judge, Rubric, Trajectory, group_reward, judge, load_environment, metric, reward
from drawbar.errors import ConfigurationError, UnknownName


@reward(weight=2.0)
def correct(completion: str, answer: str) -> bool:
    return completion == answer


@metric
def words(completion: str) -> int:
    return len(completion.split())


def test_a_plain_function_is_a_reward_of_weight_one() -> None:
    def fine(completion: str) -> int:
        return 1

    scorer = Rubric(fine).scorers["fine"]
    assert (scorer.kind, scorer.weight) == ("reward", 1.0)


def test_weights_can_be_changed_from_zero_too() -> None:
    changed = Rubric(correct, words).with_weights({"words": 0.1})
    assert {name: scorer.weight for name, scorer in changed.scorers.items()} == {"correct": 2.0, "words": 0.1}


def test_a_weight_for_a_scorer_there_is_not_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'words'"):
        Rubric(correct, words).with_weights({"word": 1})


def test_a_scorer_that_asks_for_what_there_is_not_learns_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match=r"'bad' asks for 'respons'.*completion"):

        @reward
        def bad(respons: str) -> int:
            return 1


def test_parameters_with_defaults_stay_the_functions_own() -> None:
    @reward
    def near(completion: str, answer: str = "x", tolerance: float = 0.1, **more: Any) -> bool:
        return True

    assert near.parameters == {"completion": True, "answer": False}


def test_only_group_rewards_see_all_rollouts() -> None:
    with pytest.raises(ConfigurationError, match="'trajectories'"):
        reward(lambda trajectories: 1)
    assert group_reward(lambda trajectories: [1]).kind == "group"


def test_two_scorers_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Two scorers are named 'correct'"):
        Rubric(correct, correct)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), True, "1"])
def test_a_weight_is_a_number(weight: Any) -> None:
    with pytest.raises(ConfigurationError, match="weight of 'f' is a number"):
        Rubric(reward(weight=weight, name="f")(lambda completion: 1))


def test_calling_a_scorer_calls_its_function() -> None:
    assert correct("4", answer="4") is True


FILE = """
import re
from dataclasses import dataclass
from drawbar import Environment, reward

@dataclass(frozen=True)
class Scale:
    top: int = 1

SCALE = Scale()
ALIASES = {"four": "4"}
PATTERN = re.compile("[.]$")
cache = {}

def normalise(text):
    return PATTERN.sub("", ALIASES.get(text, text)).lower()

class Matcher:
    def match(self, a, b):
        return normalise(a) == b

def outer(limit):
    def inner(completion):
        return len(completion) < limit
    return inner

@reward
def correct(completion, answer):
    cache["seen"] = completion
    return Matcher().match(completion, answer) * SCALE.top

environment = Environment(name="e", rubric=[correct, outer(3)])
"""


def version_of(folder: Path, source: str, name: str = "env.py") -> str:
    (folder / name).write_text(source)
    return load_environment(folder / name).rubric_version


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return Matcher()", "return 0.5 * Matcher()"),
        (".lower()", ".upper()"),
        ('"four": "4"', '"four": "5"'),
        ('re.compile("[.]$")', 're.compile("[.!]$")'),
        ("normalise(a) == b", "normalise(a) != b"),
        ("top: int = 1", "top: int = 2"),
        ("outer(3)]", "outer(4)]"),
        ("< limit", "<= limit"),
        ("[correct,", "[reward(weight=0.5)(correct.function),"),
    ],
)
def test_a_version_changes_with_the_code_helpers_constants_and_weights(tmp_path: Path, old: str, new: str) -> None:
    assert old in FILE
    assert version_of(tmp_path, FILE) != version_of(tmp_path, FILE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    return Matcher()", "    # because\n\n    return  Matcher()"),
        ("cache = {}", "cache = {'seen': 'much'}"),
        ("def outer", "def unused():\n    return 3\n\ndef outer"),
    ],
)
def test_a_version_stays_with_comments_formatting_state_and_code_that_is_not_used(
    tmp_path: Path, old: str, new: str
) -> None:
    assert old in FILE
    assert version_of(tmp_path, FILE) == version_of(tmp_path, FILE.replace(old, new, 1))


def test_a_version_does_not_change_while_a_rubric_is_used(tmp_path: Path) -> None:
    source = FILE.replace("cache = {}", "CACHE = {}").replace('cache["seen"]', 'CACHE["seen"]')
    (tmp_path / "env.py").write_text(source)
    environment = load_environment(tmp_path / "env.py")
    before = environment.rubric_version
    environment.scoring.scorers["correct"]("x", "x")
    assert environment.rubric_version == before


def test_a_version_is_the_same_in_another_process(tmp_path: Path) -> None:
    here = version_of(tmp_path, FILE)
    program = "import sys, drawbar; print(drawbar.load_environment(sys.argv[1]).rubric_version)"
    there = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "env.py")], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here


def test_a_version_covers_a_judge_where_one_is_asked() -> None:
    def with_template(template: str) -> str:
        return Rubric(judge(template, model="m")).version()

    assert with_template("a") == with_template("a") != with_template("b")

    async def asks(judge: Judge) -> float:
        return (await judge()).value

    one, other = (Environment(name="e", rubric=[asks], judge=Judge(template=t, model="m")) for t in "ab")
    assert one.rubric_version != other.rubric_version
    unasked = [Environment(name="e", rubric=[correct], judge=Judge(template=t, model="m")) for t in "ab"]
    assert unasked[0].rubric_version == unasked[1].rubric_version


def test_a_callable_object_and_a_function_without_source_have_versions_too() -> None:
    class Longer:
        def __init__(self, least: int) -> None:
            self.least = least

        def __call__(self, trajectory: Trajectory) -> bool:
            return len(trajectory.completion) > self.least

    def made(constant: int) -> Any:
        space: dict[str, Any] = {}
        exec(f"def made(completion): return {constant}", space)  # noqa: S102
        return space["made"]

    assert Rubric(Longer(1)).version() != Rubric(Longer(2)).version()
    assert Rubric(made(1)).version() == Rubric(made(1)).version() != Rubric(made(2)).version()
