"""Numbers that are cheap to add to: nothing here locks, formats or allocates per observation. For the event loop's
thread alone."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Final

OTHER: Final = "other"
WINDOW: Final = 200
"""Values that a mean is taken of."""


class Names:
    """Names that come from outside, made so few that no client can fill the memory of whoever keeps the metrics."""

    __slots__ = ("_known", "_most")

    def __init__(self, most: int) -> None:
        self._known: dict[str, str] = {}
        self._most = most

    def __call__(self, name: str) -> str:
        """The name, or `other` once there are too many."""
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= self._most:
                return OTHER
            found = self._known[name] = name[:100] or "none"
        return found


class Histogram:
    """How many values were at most so large."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        found, so_far = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            found.append((bound, float(so_far)))
        return found


class Mean:
    """Of the newest values."""

    __slots__ = ("count", "values")

    def __init__(self) -> None:
        self.values: deque[float] = deque(maxlen=WINDOW)
        self.count = 0
        """Of all values there ever were."""

    def add(self, value: float) -> None:
        self.values.append(value)
        self.count += 1

    @property
    def value(self) -> float:
        return sum(self.values) / len(self.values)
