"""Filters over tasks, by how all of their rollouts did: `solve_rate between 0.1 and 0.9 and rollouts >= 4`.

The language is that of `record.filter`, with the columns below.

A task's rollouts are the sessions with its hash, in its environment, of all runs and models that the export's filter
means; live sessions are rollouts of one task where they begin with the very same messages. Counted are those that are
valid and have a reward, also such as are not healthy enough to be exported: one whose answer was cut off has failed at
the task too. Of live sessions only the healthy ones are known to be of a task.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean, pstdev
from typing import Final, NamedTuple, NoReturn

from drawbar.errors import ConfigurationError
from drawbar.record.filter import Filter, where
from drawbar.record.filter_columns import NUMBER, SCORE, Column
from drawbar.record.filter_places import Place
from drawbar.record.filter_tree import All, Comparison, Condition, Not, Some
from drawbar.record.filter_values import Span
from drawbar.rollout.statistics import pass_at_k, pass_hat_k

SAME: Final = 1e-9
"""By so little sums of weights may be off."""
_BY_K: Final = re.compile(r"(pass_at|pass_hat)_([1-9]\d{0,5})")

Measure = Callable[["TaskRewards"], float | None]


@dataclass(slots=True)
class TaskRewards:
    """What the rollouts of one task came to."""

    threshold: float
    """From which reward on a rollout has solved its task."""
    rewards: array[float] = field(default_factory=lambda: array("d"))
    """Of those that count, the oldest first."""

    @property
    def solved(self) -> int:
        """Those that have solved it."""
        return sum(reward >= self.threshold - SAME for reward in self.rewards)

    @property
    def solve_rate(self) -> float | None:
        """The share of them; None: nothing counts."""
        return self.solved / len(self.rewards) if self.rewards else None

    @property
    def mean(self) -> float | None:
        """Of the rewards."""
        return fmean(self.rewards) if self.rewards else None


class _Kind(NamedTuple):
    score: bool
    meaning: str
    measure: Measure


def _over(function: Callable[[array[float]], float]) -> Measure:
    return lambda task: function(task.rewards) if task.rewards else None


def _by_k(estimator: Callable[[int, int, int], float], k: int, task: TaskRewards) -> float | None:
    return estimator(len(task.rewards), task.solved, k) if k <= len(task.rewards) else None


_TABLE: Final[Mapping[str, _Kind]] = {
    "rollouts": _Kind(False, "its rollouts that are valid and have a reward", lambda task: len(task.rewards)),
    "solved": _Kind(False, "those of them with at least the pass threshold", lambda task: task.solved),
    "solve_rate": _Kind(True, "the share of them", lambda task: task.solve_rate),
    "mean_reward": _Kind(True, "the mean of their rewards", lambda task: task.mean),
    "best_reward": _Kind(True, "the highest", _over(max)),
    "worst_reward": _Kind(True, "the lowest", _over(min)),
    "reward_spread": _Kind(True, "the highest less the lowest", _over(lambda rewards: max(rewards) - min(rewards))),
    "reward_deviation": _Kind(True, "their standard deviation (of all of them)", _over(pstdev)),
}
_MEANINGS_BY_K: Final = {
    "pass_at_K": "the chance that one of K rollouts solves it, without bias; null where there are fewer (`pass_at_4`)",
    "pass_hat_K": "the chance that all of K rollouts solve it, likewise (`pass_hat_4`)",
}
MEANINGS: Final[Mapping[str, str]] = {name: kind.meaning for name, kind in _TABLE.items()} | _MEANINGS_BY_K
"""Every column, and what it means."""


class _Columns(Mapping[str, Column]):
    """The columns of tasks by name; those with a number in their names are made when they are asked for."""

    def __getitem__(self, name: str) -> Column:
        if name in _TABLE:
            return Column(name, SCORE if _TABLE[name].score else NUMBER, _nowhere, MEANINGS[name])
        if found := _BY_K.fullmatch(name):
            return Column(name, SCORE, _nowhere, MEANINGS[f"{found[1]}_K"])
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter((*_TABLE, "pass_at_1", "pass_at_4", "pass_hat_4"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _nowhere(_: str | None) -> Place:
    raise AssertionError("columns of tasks lie in no table")


COLUMNS: Final[Mapping[str, Column]] = _Columns()


def tasks_where(text: str) -> Filter:
    """The filter over tasks that this text says; an empty one means all.

    Raises:
        ConfigurationError: it says nothing: where, what was expected, and the nearest names of an unknown column.
    """
    try:
        return where(text, columns=COLUMNS)
    except ConfigurationError as error:
        _said_of_tasks(error)


def _said_of_tasks(error: ConfigurationError) -> NoReturn:
    said = str(error).replace("The filter", "The filter of tasks (--group)", 1)
    raise ConfigurationError(said) from error


def meets(task: TaskRewards, condition: Condition | None) -> bool:
    """Whether a task is meant. A comparison with a value that is not there is false."""
    match condition:
        case None:
            return True
        case Comparison():
            return _compared(_measure(condition.column)(task), condition)
        case Not():
            return not meets(task, condition.of)
        case All():
            return all(meets(task, part) for part in condition.of)
        case Some():
            return any(meets(task, part) for part in condition.of)


def emptied_by(filter: Filter, tasks: Sequence[TaskRewards]) -> str:
    """Which clause of a filter leaves none of these tasks, in words."""
    for clause in filter.clauses:
        if not any(meets(task, clause) for task in tasks):
            return f"No task meets `{clause.text}`: the filter of tasks means none of {len(tasks):,}."
    left = list(tasks)
    for clause in filter.clauses:
        before, left = left, [task for task in left if meets(task, clause)]
        if not left:
            alone = sum(meets(task, clause) for task in tasks)
            return (
                f"None of the {len(before):,} tasks that the filter of tasks leaves before it meets `{clause.text}` "
                f"({alone:,} alone): it means none of {len(tasks):,}."
            )
    raise ValueError(f"`{filter.text}` means some of these tasks.")


def _measure(column: str) -> Measure:
    if column in _TABLE:
        return _TABLE[column].measure
    found = _BY_K.fullmatch(column)
    assert found is not None
    return partial(_by_k, pass_at_k if found[1] == "pass_at" else pass_hat_k, int(found[2]))


def _compared(value: float | None, comparison: Comparison) -> bool:
    if comparison.operator == "null":
        return value is None
    spans = [each for each in comparison.values if isinstance(each, Span)]
    if value is None:
        return False
    first, last = spans[0], spans[-1]
    match comparison.operator:
        case "<":
            return value < first.low
        case "<=":
            return value < first.high
        case ">":
            return value >= first.high
        case ">=":
            return value >= first.low
        case "between":
            return first.low <= value < last.high
    return any(span.low <= value < span.high for span in spans)
