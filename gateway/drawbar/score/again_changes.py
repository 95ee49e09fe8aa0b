"""What a rubric says of sessions against what was said of them before: added up one by one, in little memory."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drawbar.record.rows import ScoreRow

REWARD = "reward"
MOST = 5
"""Sessions that are named for each score."""
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Change:
    """One score, over the sessions that have it from both rubrics."""

    name: str
    sessions: int
    before: float
    """The mean."""
    after: float
    changed: int
    """How many sessions it is another in."""
    most: tuple[tuple[str, float, float], ...]
    """The sessions in which it changed most, with both values."""

    def to_json(self) -> dict[str, Any]:
        most = [{"session": id, "before": before, "after": after} for id, before, after in self.most]
        return {"sessions": self.sessions, "before": self.before, "after": self.after, "changed": self.changed,
                "most": most}  # fmt: skip


@dataclass
class _Sum:
    sessions: int = 0
    before: float = 0.0
    after: float = 0.0
    changed: int = 0
    most: list[tuple[float, str, float, float]] = field(default_factory=list)

    def add(self, session: str, before: float, after: float) -> None:
        self.sessions += 1
        self.before += before
        self.after += after
        difference = abs(after - before)
        if difference > _SAME:
            self.changed += 1
            (heapq.heappush if len(self.most) < MOST else heapq.heappushpop)(
                self.most, (difference, session, before, after)
            )


class Changes:
    """Takes sessions one by one."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._sums: dict[str, _Sum] = defaultdict(_Sum)
        self.before: Counter[str] = Counter()
        """Sessions by the version of the rubric that gave their scores before; "" for those that had none."""

    def add(self, session: str, rows: Iterable[ScoreRow]) -> None:
        """Enter a session with all of its scores, old and new."""
        own = sorted((row for row in rows if row.kind != "feedback"), key=lambda row: row.created)
        old = [row for row in own if row.rubric_version != self._version]
        version = old[-1].rubric_version if old else ""
        self.before[version] += 1
        before = _values(row for row in old if row.rubric_version == version)
        after = _values(row for row in own if row.rubric_version == self._version)
        for name in before.keys() & after.keys():
            self._sums[name].add(session, before[name], after[name])

    def all(self) -> list[Change]:
        """The reward first, then the other scores by name."""
        return [
            Change(
                name, s.sessions, s.before / s.sessions, s.after / s.sessions, s.changed,
                tuple((id, before, after) for _, id, before, after in sorted(s.most, reverse=True)),
            )
            for name, s in sorted(self._sums.items(), key=lambda each: (each[0] != REWARD, each[0]))
        ]  # fmt: skip


def _values(rows: Iterable[ScoreRow]) -> Mapping[str, float]:
    """The last value of each name, and the reward, as far as there are any."""
    last = {row.name: row for row in rows}
    values = {name: row.value for name, row in last.items() if row.value is not None}
    weighted = [row for row in last.values() if row.weight]
    if weighted and all(row.value is not None for row in weighted):
        values[REWARD] = sum(row.weight * (row.value or 0.0) for row in weighted)
    return values
