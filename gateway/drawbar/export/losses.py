"""What a format cannot carry: counted, and told at the end. Nothing is dropped in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class Losses:
    """Counts what was left out or told otherwise, and in how many conversations."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._samples: Counter[str] = Counter()
        self._now: Counter[str] = Counter()

    def note(self, what: str, times: int = 1) -> None:
        """The conversation at hand goes without this (in words: `signatures of reasoning`)."""
        self._now[what] += times

    def keep(self) -> None:
        """The conversation at hand has rows."""
        if self._now:
            self._times.update(self._now)
            self._samples.update(self._now.keys())
            self._now.clear()

    def forget(self) -> None:
        """The conversation at hand has no row, and so no losses either."""
        self._now.clear()

    def __bool__(self) -> bool:
        return bool(self._times)

    def to_json(self) -> dict[str, Mapping[str, int]]:
        """What was lost, how many times and in how many conversations, the most frequent first."""
        return {
            what: {"times": times, "conversations": self._samples[what]} for what, times in self._times.most_common()
        }
