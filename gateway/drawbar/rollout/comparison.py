"""Two runs side by side, paired by task: how much the second differs from the first, and how sure that is."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from drawbar.record.rows import RunRow
from drawbar.rollout.result import RolloutResult
from drawbar.rollout.statistics import Estimate, clustered_mean

REWARD = "reward"


@dataclass(frozen=True, slots=True)
class Difference:
    """One score in both runs. `estimate` is of the difference per task, second minus first."""

    name: str
    first: float
    second: float
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `drawbar compare` shows. Differences are over the tasks that have valid rollouts in both runs."""

    first: RunRow
    second: RunRow
    tasks: int
    only_first: int
    only_second: int
    differences: tuple[Difference, ...]
    rubrics: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """The versions of the rubrics that gave each run's scores; none: no rollout says."""

    @property
    def remarks(self) -> list[str]:
        """What must be known to read the differences rightly."""
        one, other = self.first, self.second
        if one.environment != other.environment:
            return [f"They are of different environments: {one.environment} and {other.environment}."]
        found = []
        if one.environment_version != other.environment_version:
            versions = f"{one.environment_version} and {other.environment_version}"
            found.append(f"The environment had different versions: {versions}.")
        first, second = self._versions
        if first != second or len(first) > 1:
            said = f"{' and '.join(first)} against {' and '.join(second)}"
            found.append(f"Their rubrics differ (code, weights or judges): rewards may not be on one scale ({said}).")
        return found

    @property
    def _versions(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        first, second = self.rubrics
        return first or (self.first.rubric_version,), second or (self.second.rubric_version,)

    def to_json(self) -> dict[str, Any]:
        return {
            "first": {**_described(self.first), "rubric_versions": list(self._versions[0])},
            "second": {**_described(self.second), "rubric_versions": list(self._versions[1])},
            "tasks": self.tasks,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "remarks": self.remarks,
            "differences": {
                d.name: {
                    "first": d.first,
                    "second": d.second,
                    "difference": d.estimate.mean,
                    "ci95": None if d.estimate.low is None else [d.estimate.low, d.estimate.high],
                }
                for d in self.differences
            },
        }


def _described(run: RunRow) -> dict[str, str]:
    return {
        "run": run.id, "environment": run.environment, "environment_version": run.environment_version,
        "rubric_version": run.rubric_version, "harness": run.harness, "model": run.model,
    }  # fmt: skip


def compare(
    first: RunRow, of_first: Iterable[RolloutResult], second: RunRow, of_second: Iterable[RolloutResult]
) -> Comparison:
    """The paired difference of each score: for each task the mean of its rollouts, then a t interval over the tasks.

    Tasks are paired by hash, so a task that was changed between the runs is not compared with its former self.
    """
    of_first, of_second = list(of_first), list(of_second)
    before, after = _by_task(of_first), _by_task(of_second)
    shared = before.keys() & after.keys()
    names = dict.fromkeys(name for side in (before, after) for scores in side.values() for name in scores)
    found = (_difference(name, [(before[t], after[t]) for t in sorted(shared)]) for name in names)
    return Comparison(
        first,
        second,
        tasks=len(shared),
        only_first=len(before) - len(shared),
        only_second=len(after) - len(shared),
        differences=tuple(difference for difference in found if difference is not None),
        rubrics=(_rubrics(of_first), _rubrics(of_second)),
    )


def _rubrics(results: Iterable[RolloutResult]) -> tuple[str, ...]:
    return tuple(sorted({result.rubric for result in results if result.valid and result.rubric is not None}))


def _by_task(results: Iterable[RolloutResult]) -> dict[str, dict[str, float]]:
    """For each task the mean of each score over its valid rollouts, the reward first."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        if result.valid:
            for name, value in {REWARD: result.reward, **result.scores}.items():
                if value is not None:
                    values[result.task_hash][name].append(value)
    return {task: {n: math.fsum(v) / len(v) for n, v in scores.items()} for task, scores in values.items()}


def _difference(name: str, pairs: list[tuple[Mapping[str, float], Mapping[str, float]]]) -> Difference | None:
    both = [(before[name], after[name]) for before, after in pairs if name in before and name in after]
    estimate = clustered_mean([[after - before] for before, after in both])
    if estimate is None:
        return None
    first, second = (math.fsum(values) / len(both) for values in zip(*both, strict=True))
    return Difference(name, first, second, estimate)
