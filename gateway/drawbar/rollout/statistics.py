"""The statistics of a report: pure functions of numbers. Knows nothing of runs, stores or sessions.

Everything here is small enough to check by hand, so that no numerical library is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and how far it can be trusted."""

    mean: float
    error: float | None
    """Standard error; None when there are fewer than two clusters."""
    low: float | None
    high: float | None
    """The 95 % interval; it is not cut off at the ends of the scale."""
    clusters: int
    count: int


def clustered_mean(clusters: Iterable[Sequence[float]]) -> Estimate | None:
    """The mean of all values with a 95 % interval that allows for values of one cluster (one task) being alike.

    With G clusters, N values x_gi in all and their mean m, the cluster-robust variance of m is

        G / (G - 1) * sum over g of (sum over i of (x_gi - m))^2 / N^2

    and the interval is m +- t(0.975, G - 1) standard errors. Sources: Miller 2024, "Adding Error Bars to Evals"
    (arXiv:2411.00640), with the small-sample factor and the t distribution of Cameron and Miller 2015,
    "A Practitioner's Guide to Cluster-Robust Inference". With one value per cluster it is the ordinary standard error.

    Returns None when there is no value at all.
    """
    groups = [values for values in clusters if len(values)]
    count = sum(len(values) for values in groups)
    if not count:
        return None
    mean = math.fsum(x for values in groups for x in values) / count
    squares = math.fsum(math.fsum(x - mean for x in values) ** 2 for values in groups)
    return _estimate(mean, squares, len(groups), count)


def mean_of_sums(clusters: Iterable[tuple[int, float]], alone: tuple[int, float, float]) -> Estimate | None:
    """As `clustered_mean`, of clusters of which only count and sum are known.

    `alone` are values that are a cluster each: their count, their sum and the sum of their squares.
    """
    groups = [(count, total) for count, total in clusters if count]
    single, sum_single, squares_single = alone
    count = single + sum(count for count, _ in groups)
    if not count:
        return None
    mean = math.fsum((sum_single, *(total for _, total in groups))) / count
    of_single = squares_single - 2 * mean * sum_single + single * mean**2
    squares = math.fsum((max(0.0, of_single), *((total - n * mean) ** 2 for n, total in groups)))
    return _estimate(mean, squares, len(groups) + single, count)


def _estimate(mean: float, squares: float, size: int, count: int) -> Estimate:
    """Of so many clusters with so many values, and the sum of the squares of the clusters' deviations."""
    if size < 2:
        return Estimate(mean, None, None, None, size, count)
    error = math.sqrt(size / (size - 1) * squares) / count
    reach = t_quantile(0.975, size - 1) * error
    return Estimate(mean, error, mean - reach, mean + reach, size, count)


def pass_at_k(samples: int, successes: int, k: int) -> float:
    """The chance that at least one of k rollouts succeeds, without bias from n >= k rollouts: 1 - C(n-c, k) / C(n, k).

    Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code" (arXiv:2107.03374).
    """
    _check(samples, successes, k)
    return 1.0 - math.comb(samples - successes, k) / math.comb(samples, k)


def pass_hat_k(samples: int, successes: int, k: int) -> float:
    """The chance that all of k rollouts succeed (pass^k), estimated without bias: C(c, k) / C(n, k).

    Source: Yao et al. 2024, "tau-bench" (arXiv:2406.12045).
    """
    _check(samples, successes, k)
    return math.comb(successes, k) / math.comb(samples, k)


def _check(samples: int, successes: int, k: int) -> None:
    if not (0 <= successes <= samples and 1 <= k <= samples):
        raise ValueError(f"k must be 1 to {samples} and successes 0 to {samples}: not k={k}, successes={successes}.")


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value of sorted `values` below which this share (0 to 1) lies, linear between neighbours; None of nothing."""
    if not values:
        return None
    place = share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def two_sided(t: float, freedom: int) -> float:
    """The chance that Student's t is as far from 0 as this, or farther, on either side."""
    return _incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5) if t else 1.0


def holm(chances: Sequence[float]) -> list[float]:
    """Each chance (p value) such that, if all below 0.05 are taken for real, the chance of any mistake is at most 0.05.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure". The tests may depend on one another.
    """
    found, highest = [0.0] * len(chances), 0.0
    for place, at in enumerate(sorted(range(len(chances)), key=lambda at: chances[at])):
        highest = max(highest, min(1.0, (len(chances) - place) * chances[at]))
        found[at] = highest
    return found


@lru_cache(maxsize=256)
def t_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t distribution, by bisection on its distribution function (to 1e-10).

    Raises:
        ValueError: a probability outside 0.5 to 1, or no degree of freedom.
    """
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(f"No quantile at probability {probability} with {freedom} degrees of freedom.")
    low, high = 0.0, 1.0
    while _t_distribution(high, freedom) < probability:
        low, high = high, high * 2
    while high - low > 1e-10 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_distribution(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def _t_distribution(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0: 1 - I_x(v/2, 1/2) / 2 with x = v / (v + t^2) (Abramowitz and Stegun 26.7.1)."""
    return 1.0 - _incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (Abramowitz and Stegun 26.5.8)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below this point; beyond it, use the symmetry
        return 1.0 - _incomplete_beta(1 - x, b, a)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(scale) * _beta_fraction(x, a, b) / a


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function, by the modified method of Lentz."""
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _nonzero(1.0 + term * d)
            c = _nonzero(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
