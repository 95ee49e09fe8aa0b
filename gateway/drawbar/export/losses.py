"""What a format cannot carry: counted, and told at the end. Nothing is dropped in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class Losses:
    """Counts what was left out or told otherwise, and how many rows it concerns."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._now: set[str] = set()

    def note(self, what: str, times: int = 1) -> None:
        """The row under way goes without this (in words: `signatures of reasoning`)."""
        self._times[what] += times
        self._now.add(what)

    def row(self) -> None:
        """The row under way is done."""
        if self._now:
            self._rows.update(self._now)
            self._now.clear()

    def forget(self) -> None:
        """What was noted since the last row belongs to none: it was not written."""
        self._now.clear()

    def __bool__(self) -> bool:
        return bool(self._times)

    def to_json(self) -> dict[str, Mapping[str, int]]:
        """What was lost, how many times and in how many rows, the most frequent first."""
        return {what: {"times": times, "rows": self._rows[what]} for what, times in self._times.most_common()}
