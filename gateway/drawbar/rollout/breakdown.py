"""Sessions counted by columns: from the store's sums to means that say how far they can be trusted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drawbar.record.select_groups import Sums
from drawbar.rollout.statistics import Estimate, mean_of_sums


@dataclass(frozen=True, kw_only=True)
class Group:
    """The sessions with one combination of values."""

    by: tuple[Any, ...]
    sessions: int
    turns: int
    tool_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    """US dollars; None where no price is known."""
    reward: Estimate | None
    """Clustered by task; sessions without a task stand for themselves."""
    rubrics: Mapping[str, int]
    """Sessions that have a reward, by the version of the rubric that gave it."""
    failed_calls: int
    error_share: float | None
    """Of the model calls, those that were not answered."""
    tool_error_share: float | None
    defect_share: float | None
    """Of the sessions whose health is known, those with a defect in their record."""

    def to_json(self, names: Iterable[str]) -> dict[str, Any]:
        """As `drawbar stats --json` prints it."""
        reward = self.reward
        interval = None if reward is None or reward.low is None else [reward.low, reward.high]
        plain = [name for name in self.__dataclass_fields__ if name not in ("by", "reward", "rubrics")]
        return {
            "by": dict(zip(names, self.by, strict=True)),
            **{name: getattr(self, name) for name in plain},
            "reward": {"mean": reward and reward.mean, "ci95": interval, "sessions": reward.count if reward else 0},
            "rubrics": dict(self.rubrics),
        }  # fmt: skip


@dataclass
class _Total:
    """Adds up what one combination comes to."""

    numbers: Counter[str] = field(default_factory=Counter)
    cost: float | None = None
    tasks: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0, 0.0]))
    """How many rewards each task has, and their sum."""
    alone: list[float] = field(default_factory=lambda: [0, 0.0, 0.0])
    """Sessions without a task: how many rewards, their sum and that of their squares."""
    rubrics: Counter[str] = field(default_factory=Counter)

    def add(self, row: Sums) -> None:
        for name in ("sessions", "turns", "calls", "failed_calls", "tool_calls", "tool_errors", "prompt_tokens",
                     "completion_tokens", "looked_at", "defective"):  # fmt: skip
            self.numbers[name] += getattr(row, name)
        if row.cost is not None:
            self.cost = (self.cost or 0.0) + row.cost
        if row.rewarded:
            self.rubrics[row.rubric or ""] += row.rewarded
            sums = self.alone if row.task is None else self.tasks[row.task]
            for place, value in enumerate((row.rewarded, row.reward or 0.0, row.squares or 0.0)[: len(sums)]):
                sums[place] += value

    def group(self, by: tuple[Any, ...]) -> Group:
        n = self.numbers
        count, total, squares = self.alone
        return Group(
            by=by,
            sessions=n["sessions"],
            turns=n["turns"],
            tool_calls=n["tool_calls"],
            prompt_tokens=n["prompt_tokens"],
            completion_tokens=n["completion_tokens"],
            cost=self.cost,
            reward=mean_of_sums(((int(c), t) for c, t in self.tasks.values()), (int(count), total, squares)),
            rubrics=dict(self.rubrics.most_common()),
            failed_calls=n["failed_calls"],
            error_share=_share(n["failed_calls"], n["calls"]),
            tool_error_share=_share(n["tool_errors"], n["tool_calls"]),
            defect_share=_share(n["defective"], n["looked_at"]),
        )


def breakdown(rows: Iterable[Sums]) -> list[Group]:
    """One group for each combination, in the order of their values."""
    totals: dict[tuple[Any, ...], _Total] = defaultdict(_Total)
    for row in rows:
        totals[row.by].add(row)
    return [totals[by].group(by) for by in sorted(totals, key=_order)]


def mixed(groups: Iterable[Group]) -> Counter[str]:
    """The rubric versions whose rewards are in one mean with those of another."""
    found: Counter[str] = Counter()
    for group in groups:
        if len(group.rubrics) > 1:
            found.update(group.rubrics)
    return found


def _order(by: tuple[Any, ...]) -> list[tuple[bool, Any]]:
    """Nothing comes last; a column's values are of one type."""
    return [(value is None, "" if value is None else value) for value in by]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
