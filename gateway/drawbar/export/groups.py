"""The rollouts of one task in one run, and what each is worth against the others: its advantage.

Counted are the rollouts that are valid and have a reward, of each its last such attempt, whatever an export's filter
means: an advantage does not change with what else is exported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import Final, TypeAlias

from sqlalchemy import case, select

from drawbar.record.facts import Facts
from drawbar.record.filter_columns import REWARD, valid
from drawbar.record.schema import session
from drawbar.record.select import SESSIONS
from drawbar.record.store import Store

EPSILON: Final = 1e-4
"""Added to a standard deviation before it divides, as TRL's `GRPOTrainer` does."""
_KEPT: Final = 4
"""Runs whose groups are kept in memory; sessions come in the order in which they began, and so run by run."""

_Task: TypeAlias = tuple[str | None, str]
"""Its key and its hash."""


@dataclass(frozen=True, slots=True)
class Advantages:
    """A rollout against its group."""

    normalized: float
    """(reward - mean) / (standard deviation + `EPSILON`), Bessel-corrected: GRPO (arXiv 2402.03300)."""
    centered: float
    """reward - mean: Dr. GRPO (arXiv 2503.20783)."""
    leave_one_out: float
    """reward - mean of the others: RLOO (arXiv 2402.14740)."""


@dataclass(frozen=True)
class Group:
    """The rollouts of one task in one run."""

    rewards: Mapping[str, float]
    """Of those that count, by session."""
    left_out: int = 0
    """Rollouts that are invalid, still under way, or have no reward."""

    @cached_property
    def mean(self) -> float | None:
        """Of the rewards; None: there are none."""
        return fmean(self.rewards.values()) if self.rewards else None

    @cached_property
    def deviation(self) -> float | None:
        """The standard deviation of the rewards, Bessel-corrected; None: there are fewer than two."""
        return stdev(self.rewards.values()) if len(self.rewards) > 1 else None

    def advantages(self, session: str) -> Advantages | None:
        """What a session is worth against the others; None: it does not count, or there are no others."""
        reward = self.rewards.get(session)
        if reward is None or self.mean is None or self.deviation is None:
            return None
        centered, size = reward - self.mean, len(self.rewards)
        return Advantages(centered / (self.deviation + EPSILON), centered, centered * size / (size - 1))


class GroupReader:
    """Reads groups, those of a run at a time. Not to be shared between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[str, Mapping[_Task, Group]] = {}

    def group(self, facts: Facts) -> Group | None:
        """A session's group; None: it is no rollout of a task in a run."""
        if facts.run is None or facts.task_hash is None:
            return None
        if facts.run not in self._runs:
            while len(self._runs) >= _KEPT:
                del self._runs[next(iter(self._runs))]
            self._runs[facts.run] = self._groups(facts.run)
        return self._runs[facts.run].get((facts.task_key, facts.task_hash))

    def _groups(self, run: str) -> Mapping[_Task, Group]:
        own = session.c
        query = select(own.task_key, own.task_hash, own.rollout, own.id, case((valid(), REWARD))).select_from(SESSIONS)
        query = query.where(own.run == run, own.task_hash.is_not(None)).order_by(own.attempt, own.started)
        found = defaultdict[_Task, dict[int, tuple[str, float] | None]](dict)
        with self._store.reading() as connection:
            for key, hash, rollout, id, reward in connection.execute(query):
                if reward is not None or rollout not in found[key, hash]:
                    found[key, hash][rollout] = (id, float(reward)) if reward is not None else None
        return {task: _group(rollouts) for task, rollouts in found.items()}


def _group(rollouts: Mapping[int, tuple[str, float] | None]) -> Group:
    counted = dict(it for it in rollouts.values() if it is not None)
    return Group(counted, len(rollouts) - len(counted))
