"""The numbers of a report, against values that are known from elsewhere."""

from __future__ import annotations

import itertools
import math

import pytest

from drawbar.rollout.statistics import clustered_mean, pass_at_k, pass_hat_k, percentile, t_quantile


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.7062), (2, 4.3027), (5, 2.5706), (10, 2.2281), (30, 2.0423), (120, 1.9799), (100_000, 1.95999)],
)
def test_t_quantiles_are_those_of_the_printed_tables(freedom: int, expected: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(expected, abs=1e-4)


def test_a_quantile_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="degrees of freedom"):
        t_quantile(0.975, 0)


def test_one_value_per_cluster_gives_the_ordinary_standard_error() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    estimate = clustered_mean([[v] for v in values])
    assert estimate is not None
    deviation = math.sqrt(sum((v - 0.6) ** 2 for v in values) / 4)
    assert estimate.mean == pytest.approx(0.6)
    assert estimate.error == pytest.approx(deviation / math.sqrt(5))


def test_rollouts_that_repeat_their_task_do_not_narrow_the_interval() -> None:
    once = clustered_mean([[0.0], [1.0], [1.0]])
    often = clustered_mean([[0.0] * 50, [1.0] * 50, [1.0] * 50])
    assert once is not None
    assert often is not None
    assert often.error == pytest.approx(once.error)
    assert often.low == pytest.approx(once.low)
    assert often.high == pytest.approx(once.high)


def test_a_single_task_has_a_mean_but_no_interval() -> None:
    estimate = clustered_mean([[1.0, 0.0]])
    assert estimate is not None
    assert (estimate.mean, estimate.low, estimate.error) == (0.5, None, None)


def test_nothing_has_no_mean() -> None:
    assert clustered_mean([]) is None
    assert clustered_mean([[], []]) is None


@pytest.mark.parametrize(("n", "c"), [(4, 0), (4, 1), (4, 3), (4, 4), (6, 2)])
def test_pass_estimators_are_the_share_over_all_draws(n: int, c: int) -> None:
    rollouts = [True] * c + [False] * (n - c)
    for k in range(1, n + 1):
        draws = list(itertools.combinations(rollouts, k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(any(d) for d in draws) / len(draws))
        assert pass_hat_k(n, c, k) == pytest.approx(sum(all(d) for d in draws) / len(draws))


def test_more_draws_than_rollouts_are_refused() -> None:
    with pytest.raises(ValueError, match="k must be"):
        pass_at_k(3, 1, 4)


def test_percentiles_lie_between_neighbours() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == pytest.approx(2.5)
    assert percentile([1.0, 2.0], 1.0) == 2.0
    assert percentile([], 0.5) is None
