"""How many calls end in a second, how many of them fail, and what the sessions that ended last were worth."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from typing import Final

from drawbar.rollout.statistics import mean_of_sums
from drawbar.watching.changes import Rewarded
from drawbar.watching.ledger import Call

WINDOW: Final = 60.0
"""Seconds that rates are of."""
REWARDS: Final = 500
"""Sessions that means are of."""


class Tempo:
    """Counts calls of the last minute. What ended before the first look counts for nothing."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._ends: deque[tuple[float, bool]] = deque()

    def add(self, calls: Iterable[Call]) -> None:
        """Calls that have ended."""
        for call in calls:
            if call.ended is not None and call.ended >= self._began:
                self._ends.append((call.ended, call.status != "answered"))

    def rates(self, now: float) -> tuple[float | None, float | None, float]:
        """Calls per second, the share that failed, and the seconds that both are of."""
        since = max(self._began, now - WINDOW)
        while self._ends and self._ends[0][0] < since:
            self._ends.popleft()
        seconds, count = now - since, len(self._ends)
        per_second = count / seconds if seconds >= 1 else None
        return per_second, sum(failed for _, failed in self._ends) / count if count else None, seconds


class Rewards:
    """The rewards of the sessions that ended last."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def note(self, session: str, rubric: str | None, reward: float | None) -> None:
        """What a session is worth now."""
        if rubric is None or reward is None:
            self._of.pop(session, None)
            return
        self._of[session] = rubric, reward
        while len(self._of) > REWARDS:
            self._of.popitem(last=False)

    def means(self) -> list[Rewarded]:
        """By rubric, the one that scored most first."""
        by: defaultdict[str, list[float]] = defaultdict(list)
        for rubric, reward in self._of.values():
            by[rubric].append(reward)
        found = []
        for rubric, values in sorted(by.items(), key=lambda each: (-len(each[1]), each[0])):
            estimate = mean_of_sums((), (len(values), sum(values), sum(value * value for value in values)))
            if estimate is not None:
                found.append(
                    Rewarded(
                        rubric=rubric, sessions=len(values), mean=estimate.mean, low=estimate.low, high=estimate.high
                    )
                )
        return found
