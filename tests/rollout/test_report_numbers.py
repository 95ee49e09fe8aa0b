"""The report's numbers: what counts, what is apart, and what two runs say side by side."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest

from drawbar.record.rows import RunRow
from drawbar.rollout.comparison import compare
from drawbar.rollout.report import Tally
from drawbar.rollout.result import RolloutResult

RUN = RunRow(
    id="run_1", environment="e", environment_version="1", rubric_version="v", harness="loop", model="m", rollouts=2,
    config=b'{"in_process": false}', started=0.0,
)  # fmt: skip


def result(
    task: str, reward: float | None, *, rollout: int = 0, cause: str = "completed", **changes: Any
) -> RolloutResult:
    return RolloutResult(**{
        "session": f"ses_{task}_{rollout}", "task_key": task, "task_hash": task, "rollout": rollout, "attempt": 0,
        "cause": cause, "error": None, "reward": reward, "scores": {"right": reward, "pages": 3.0},
        "weights": {"right": 1.0, "pages": 0.0}, "turns": 2, "tool_calls": 1, "prompt_tokens": 9,
        "completion_tokens": 5,
        "cached_tokens": 0, "reasoning_tokens": 0, "cost": 0.5, "seconds": 4.0, "call_seconds": (1.0, 2.0),
        "tool_seconds": (0.5,), **changes,
    })  # fmt: skip


def tally(*results: RolloutResult) -> Tally:
    made = Tally()
    for each in results:
        made.add(each)
    return made


def test_invalid_rollouts_are_in_no_mean_but_their_cost_is_paid() -> None:
    bad = result("b", None, cause="upstream_unavailable", error="no answer", turns=0, scores={}, weights={})
    report = tally(result("a", 1.0), bad).report(RUN)
    assert (report.rollouts, report.valid, report.invalid) == (2, 1, 1)
    assert report.reward is not None
    assert (report.reward.mean, report.turns, report.metrics) == (1.0, 2.0, {"pages": 3.0})
    assert report.cost == 1.0
    assert (report.errors, report.examples) == ({"upstream_unavailable": 1}, {"upstream_unavailable": "no answer"})


def test_pass_at_k_and_pass_hat_k_are_means_over_tasks() -> None:
    results = [result("a", 1.0, rollout=0), result("a", 0.0, rollout=1), result("b", 1.0), result("b", 1.0, rollout=1)]
    report = tally(*results).report(RUN)
    assert report.pass_at == {1: 0.75, 2: 1.0}
    assert report.pass_hat == {1: 0.75, 2: 0.5}


def test_a_price_that_nobody_knows_is_not_zero() -> None:
    assert tally(result("a", 1.0, cost=None)).report(RUN).cost is None


def test_without_rollouts_there_is_a_report_that_says_so() -> None:
    report = Tally().report(RUN)
    assert report.reward is None
    assert report.to_json()["reward"]["mean"] is None


def test_rollouts_in_which_a_scorer_gave_nothing_are_counted_apart() -> None:
    report = tally(result("a", 1.0), result("b", 1.0, scores={"right": 1.0, "pages": None})).report(RUN)
    assert (report.metrics, report.missing) == ({"pages": 3.0}, {"pages": 1})


def test_the_json_has_what_programs_ask_for() -> None:
    found = orjson.loads(orjson.dumps(tally(result("a", 1.0), result("b", 0.0)).report(RUN).to_json()))
    assert {"run", "environment", "harness", "model", "rollouts", "invalid", "reward", "metrics"} <= found.keys()
    assert found["reward"]["mean"] == 0.5
    low, high = found["reward"]["ci95"]
    assert low < 0.5 < high
    assert found["metrics"] == {"pages": 3.0}
    assert found["seconds"]["model_call"]["p50"] == 1.5


def test_runs_are_compared_on_the_tasks_that_both_have() -> None:
    first = [result("a", 0.0), result("b", 1.0), result("only first", 1.0)]
    second = [
        result("a", 1.0),
        result("b", 1.0),
        result("b", 0.0, rollout=1),
        result("x", None, cause="harness_failed"),
    ]
    found = compare(RUN, first, RUN, second)
    assert (found.tasks, found.only_first, found.only_second) == (2, 1, 0)
    reward = found.differences[0]
    assert (reward.name, reward.first, reward.second) == ("reward", 0.5, 0.75)
    assert reward.estimate.mean == pytest.approx(0.25)
    assert reward.estimate.low is not None
    assert reward.estimate.low < 0 < reward.estimate.high  # type: ignore[operator]


def test_what_keeps_two_runs_from_being_compared_is_told() -> None:
    changes = {"environment": "other"}, {"environment_version": "2"}, {"rubric_version": "w"}
    said = [compare(RUN, [], msgspec.structs.replace(RUN, **change), []).remarks for change in changes]
    assert [len(remarks) for remarks in said] == [1, 1, 1]
    assert said[0] == ["They are of different environments: e and other."]
    assert "1 and 2" in said[1][0]
    assert "rubrics differ" in said[2][0]
    assert compare(RUN, [], RUN, []).remarks == []


def test_runs_without_a_common_task_have_no_difference() -> None:
    found = compare(RUN, [result("a", 1.0)], RUN, [result("b", 1.0)])
    assert (found.tasks, found.differences) == (0, ())
