"""What makes an environment unfit for use, check by check, and that each says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from drawbar import Environment, Score, Task, ToolCall, Trajectory, metric, reward
from drawbar.validation.checks import (
    NAME_CAP,
    check_idle,
    check_oracle,
    check_repeats,
    check_tasks,
    check_tools,
    full_reward,
)


@reward(weight=2.0)
def correct(completion: str) -> int:
    return 1


@reward(weight=-1.0)
def wasteful(completion: str) -> int:
    return 0


@metric
def words(completion: str) -> int:
    return len(completion.split())


ENVIRONMENT = Environment(name="e", tasks=[Task(key="k", prompt="?")], rubric=[correct, wasteful, words])


def scored(stop: str = "completed", error: str | None = None, **values: float | None) -> Trajectory:
    kinds = ENVIRONMENT.scoring.scorers
    scores = [
        Score(name=name, kind=kinds[name].kind, value=value, weight=kinds[name].weight, rubric_version="v",
              error="it broke" if value is None else None)
        for name, value in values.items()
    ]  # fmt: skip
    return Trajectory(id="s", task=Task(key="k", prompt="?"), stop=stop, error=error, scores=scores)


def tool(name: str = "search", **schema: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}}, **schema}}


def test_a_portable_tool_is_no_problem() -> None:
    optional = {"anyOf": [{"type": "string"}, {"type": "null"}]}  # what `str | None` becomes, inside of `properties`
    assert check_tools([tool(), tool("a" * NAME_CAP), tool(properties={"q": optional})]) == []


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (tool("search pages"), "name of tool 'search pages' is not portable"),
        (tool("wiki.search"), "name of tool 'wiki.search' is not portable"),
        (tool("a" * (NAME_CAP + 1)), f"has {NAME_CAP + 1} characters"),
        (tool(properties={"q": {"$ref": "#/$defs/Q"}}), r"has a `$ref` at inputSchema.properties.q"),
        (tool(properties={"q": {"items": [{"$ref": "#/$defs/Q"}]}}), r"`$ref` at inputSchema.properties.q.items[0]"),
        (tool(oneOf=[{}]), "has `oneOf` at its top"),
        (tool(anyOf=[{}]), "has `anyOf` at its top"),
        ({"name": "search", "inputSchema": {"type": "string"}}, "is no object"),
    ],
)
def test_a_tool_that_is_not_portable_is_told_with_what_to_do(bad: dict[str, Any], what: str) -> None:
    (problem,) = check_tools([bad])
    assert problem.check == "tools"
    assert what in problem.what
    assert problem.advice


def test_a_parameter_named_like_a_reference_is_none() -> None:
    assert check_tools([tool(properties={"$ref": {"type": "string"}})]) == []


def test_repeated_keys_no_tasks_and_tasks_without_prompt_are_problems() -> None:
    repeated = Environment(name="e", tasks=[Task(key="k", prompt="1"), Task(key="k", prompt="2")])
    empty = Environment(name="e", tasks=lambda: (Task(prompt=prompt) for prompt in ["fine", ""]))
    wanted = {"'k' repeats": repeated, "no tasks": Environment(name="e"), "no prompt": empty}
    for what, environment in wanted.items():
        (problem,) = check_tasks(environment)
        assert what in problem.what
    assert check_tasks(ENVIRONMENT) == []


def test_full_reward_is_every_reward_at_one_and_no_penalty() -> None:
    assert full_reward(ENVIRONMENT) == 2.0


def test_an_oracle_at_full_reward_is_no_problem() -> None:
    assert check_oracle(ENVIRONMENT, [scored(correct=1, wasteful=0, words=7)]) == []


@pytest.mark.parametrize(
    ("trajectory", "what"),
    [
        (scored(correct=0.5, wasteful=0), "Task 'k': the oracle got 1 of 2."),
        (scored(correct=1, wasteful=1), "Task 'k': the oracle got 1 of 2."),
        (scored(correct=None, wasteful=0), "got no score of 2. Its answer was ''; scores: correct no score (it broke)"),
        (scored(stop="harness_failed", error="boom"), "got no score of 2. It ended with harness_failed: boom"),
    ],
)
def test_an_oracle_below_full_reward_is_told_with_its_scores(trajectory: Trajectory, what: str) -> None:
    (problem,) = check_oracle(ENVIRONMENT, [trajectory])
    assert what in problem.what


def test_doing_nothing_may_get_zero_or_less_but_must_get_a_score() -> None:
    assert check_idle([scored(correct=0, wasteful=0), scored(correct=0, wasteful=1)]) == []
    assert "an agent that does nothing got 0.5" in check_idle([scored(correct=0.25)])[0].what
    (failed,) = check_idle([scored(correct=None)])
    assert "make it give 0" in failed.advice


def called(text: str) -> ToolCall:
    return ToolCall(
        id="t", seq=0, server="s", tool="t", name="t", arguments={"q": 1}, result=None, shown=None, text=text,
        is_error=False, status="answered", error=None, started=0.0, ended=1.0,
    )  # fmt: skip


def test_two_runs_that_are_alike_are_no_problem_and_two_that_differ_are() -> None:
    task = Task(key="k", prompt="?")
    one, same, other = (Trajectory(id=text, task=task, tool_calls=[called(text[0])]) for text in ("a1", "a2", "b1"))
    assert check_repeats([one], [same]) == []
    (problem,) = check_repeats([one], [other])
    assert "Task 'k': two runs of the oracle differ: tool calls" in problem.what
    (differ,) = check_repeats([scored(correct=1)], [scored(correct=0)])
    assert "scores: {'correct': 1} and then {'correct': 0}" in differ.what
