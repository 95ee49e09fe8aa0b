"""How much a ratio of sums, or a quantile, moved between two sides, and how sure that is. Pure functions of numbers.

A mean is the ratio of a sum to a count; a rate that of what failed to what was tried. Values of one cluster (one user,
one family of sessions) may be alike, also across the sides, and the intervals allow for that.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from drawbar.rollout.statistics import percentile, t_quantile, two_sided

MOST_CLUSTERS: Final = 2_000
"""That are told apart. Further ones share places with them: independent clusters that are taken for one make intervals
no less right, and memory has a bound."""
MOST_VALUES: Final = 50_000
"""Values that a quantile is taken of; of more, a sample."""
FEWEST: Final = 10
"""Clusters on a side below which nothing is said about chance."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Both sides of one number."""

    before: float | None
    after: float | None
    low: float | None = None
    """The 95 % interval of the difference; None: too few clusters on a side."""
    high: float | None = None
    p: float | None = None
    """The chance of a difference so large, or larger, if nothing had changed."""

    @property
    def difference(self) -> float | None:
        """After minus before."""
        return None if self.before is None or self.after is None else self.after - self.before


class Ratio:
    """Sums of numerators and denominators, by side and cluster."""

    __slots__ = ("_sums", "counts")

    def __init__(self) -> None:
        self._sums = array("d", bytes(8 * 4 * MOST_CLUSTERS))
        self.counts = [0, 0]
        """Sessions that entered, on each side."""

    def add(self, side: int, cluster: int, numerator: float, denominator: float = 1.0) -> None:
        """What one session has; side 0 is before, 1 after."""
        at = 4 * cluster + 2 * side
        self._sums[at] += numerator
        self._sums[at + 1] += denominator
        self.counts[side] += 1

    def share(self, whole: Ratio) -> None:
        """From now on, a part of that whole: its denominators are this one's."""
        self._sums[1::2] = whole._sums[1::2]
        self.counts = list(whole.counts)

    def clusters(self, side: int) -> int:
        """How many clusters there are on a side."""
        return sum(1 for count in self._sums[2 * side + 1 :: 4] if count)

    def shift(self) -> Shift:
        """The ratios and their difference.

        With y and x the numerators and denominators, R = sum(y) / sum(x) of a side, and over G clusters
        u_g = sqrt(G / (G - 1)) * (y_g - R * x_g) / sum(x), the variance of the difference is the sum over all clusters
        of (u_g after - u_g before)^2: a cluster that is on both sides is not taken for two. Source: Taylor
        linearisation of a ratio for clusters (Cochran 1977, "Sampling Techniques", 6.3 and 11.9). The degrees of
        freedom are those of Welch and Satterthwaite.
        """
        sides = [self._side(side) for side in (0, 1)]
        (before, of_before, few), (after, of_after, also_few) = sides
        if few or also_few:
            return Shift(before, after)
        assert before is not None
        assert after is not None
        variance = math.fsum((a - b) ** 2 for a, b in zip(of_after, of_before, strict=True))
        freedom = _freedom([(math.fsum(u * u for u in each), self.clusters(n)) for n, (_, each, _) in enumerate(sides)])
        return _judged(before, after, math.sqrt(variance), freedom)

    def _side(self, side: int) -> tuple[float | None, Sequence[float], bool]:
        """The ratio, the share of each cluster in its error, and whether there are too few clusters."""
        numerators, denominators = self._sums[2 * side :: 4], self._sums[2 * side + 1 :: 4]
        total, clusters = math.fsum(denominators), self.clusters(side)
        if not total:
            return None, (), True
        ratio = math.fsum(numerators) / total
        if clusters < max(2, FEWEST):
            return ratio, (), True
        scale = math.sqrt(clusters / (clusters - 1)) / total
        return ratio, [scale * (y - ratio * x) for y, x in zip(numerators, denominators, strict=True)], False


class Table:
    """Columns of numbers by side and cluster, of which each two make a ratio. One addition for a whole row: the dearest
    part of a comparison is adding up."""

    __slots__ = ("_sums", "_width")

    def __init__(self, width: int) -> None:
        self._width = width
        self._sums = array("d", bytes(8 * 2 * width * MOST_CLUSTERS))

    def add(self, side: int, cluster: int, row: Iterable[float]) -> None:
        """What one session has, in the order of the columns."""
        sums = self._sums
        for at, value in enumerate(row, (2 * cluster + side) * self._width):
            if value:
                sums[at] += value

    def ratio(self, numerator: int, denominator: int, count: int) -> Ratio:
        """Of two columns; a third says how many sessions there are."""
        found, step = Ratio(), 2 * self._width
        for side in (0, 1):
            first = side * self._width
            found._sums[2 * side :: 4] = self._sums[first + numerator :: step]
            found._sums[2 * side + 1 :: 4] = self._sums[first + denominator :: step]
            found.counts[side] = round(sum(self._sums[first + count :: step]))
        return found


class Sample:
    """Values of both sides with their clusters: all of them, or, of very many, so many of each side by chance."""

    __slots__ = ("_clusters", "_random", "_values", "counts")

    def __init__(self) -> None:
        self._values = (array("d"), array("d"))
        self._clusters = (array("H"), array("H"))
        self._random = Random(0)
        self.counts = [0, 0]
        """Values that there were, on each side."""

    def add(self, side: int, cluster: int, values: Iterable[float]) -> None:
        """What one session has."""
        kept, of = self._values[side], self._clusters[side]
        for value in values:
            self.counts[side] += 1
            if len(kept) < MOST_VALUES:
                kept.append(value)
                of.append(cluster)
            elif (at := int(self._random.random() * self.counts[side])) < MOST_VALUES:  # Vitter 1985, algorithm R
                kept[at], of[at] = value, cluster

    def shift(self, share: float) -> Shift:
        """The quantiles at this share, and their difference.

        A side's error follows from that of the share of values that lie below its quantile, carried over by the
        values themselves. Source: Woodruff 1952, "Confidence Intervals for Medians and Other Position Measures".
        """
        sides = [self._side(side, share) for side in (0, 1)]
        (before, error, clusters), (after, other, others) = sides
        if before is None or after is None or error is None or other is None:
            return Shift(before, after)
        freedom = _freedom([(error**2, clusters), (other**2, others)])
        return _judged(before, after, math.hypot(error, other), freedom)

    def _side(self, side: int, share: float) -> tuple[float | None, float | None, int]:
        """The quantile, its standard error and the number of clusters."""
        values = sorted(self._values[side])
        at = percentile(values, share)
        if at is None:
            return None, None, 0
        below: dict[int, float] = {}
        for value, cluster in zip(self._values[side], self._clusters[side], strict=True):
            below[cluster] = below.get(cluster, 0.0) + (value <= at) - share
        clusters = len(below)
        if clusters < max(2, FEWEST):
            return at, None, clusters
        spread = math.sqrt(clusters / (clusters - 1) * math.fsum(each**2 for each in below.values())) / len(values)
        reach = t_quantile(0.975, clusters - 1)
        ends = [percentile(values, min(1.0, max(0.0, share + side * reach * spread))) or 0.0 for side in (-1, 1)]
        return at, (ends[1] - ends[0]) / (2 * reach), clusters


def _freedom(sides: Sequence[tuple[float, int]]) -> int:
    """Of a difference of two sides, by their variances and numbers of clusters (Welch and Satterthwaite)."""
    total = math.fsum(variance for variance, _ in sides)
    parts = math.fsum(variance**2 / (clusters - 1) for variance, clusters in sides)
    return max(1, int(total**2 / parts)) if parts else min(clusters for _, clusters in sides) - 1


def _judged(before: float, after: float, error: float, freedom: int) -> Shift:
    difference = after - before
    reach = t_quantile(0.975, freedom) * error
    p = two_sided(difference / error, freedom) if error else float(difference == 0)
    return Shift(before, after, difference - reach, difference + reach, p)
