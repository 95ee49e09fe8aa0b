"""How sure a difference between two sides is: by hand, by simulation, and where nothing can be said."""

from __future__ import annotations

import math
from random import Random
from statistics import mean, variance

import pytest

from drawbar.rollout.shift import MOST_VALUES, Ratio, Sample
from drawbar.rollout.statistics import holm, t_quantile, two_sided


def test_a_chance_is_that_of_students_t() -> None:
    assert two_sided(2.228138852, 10) == pytest.approx(0.05, abs=1e-9)
    assert two_sided(-t_quantile(0.995, 3), 3) == pytest.approx(0.01, abs=1e-9)
    assert two_sided(0.0, 5) == 1.0


def test_several_chances_are_corrected_as_holm_says() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def filled(before: list[float], after: list[float]) -> Ratio:
    ratio = Ratio()
    for side, values in enumerate((before, after)):
        for n, value in enumerate(values):
            ratio.add(side, n + side * 1000, value)
    return ratio


def test_with_one_value_a_cluster_it_is_the_test_of_welch() -> None:
    before = [20.1, 19.8, 21.3, 18.9, 20.5, 20.0, 19.2, 21.0, 20.7, 19.9]
    after = [22.0, 23.5, 20.9, 24.1, 22.2, 21.7, 25.0, 20.1, 23.3, 22.6, 21.5, 24.4]
    shift = filled(before, after).shift()
    squares = [variance(values) / len(values) for values in (before, after)]
    freedom = int(sum(squares) ** 2 / sum(v**2 / (len(x) - 1) for v, x in zip(squares, (before, after), strict=True)))
    assert shift.difference == pytest.approx(mean(after) - mean(before))
    assert shift.p == pytest.approx(two_sided((mean(after) - mean(before)) / math.sqrt(sum(squares)), freedom))
    assert shift.high is not None
    assert shift.high - mean(after) + mean(before) == pytest.approx(
        t_quantile(0.975, freedom) * math.sqrt(sum(squares))
    )


def test_a_rate_weighs_by_what_was_tried() -> None:
    ratio = Ratio()
    for cluster in range(20):
        ratio.add(0, cluster, 1.0, 10.0)
        ratio.add(1, cluster, 0.0 if cluster else 30.0, 10.0 if cluster else 100.0)
    shift = ratio.shift()
    assert [shift.before, shift.after] == pytest.approx([0.1, 30 / 290])
    assert shift.p is not None
    assert shift.p > 0.5


def test_users_who_are_alike_make_the_interval_wider_and_those_on_both_sides_narrower() -> None:
    random = Random(1)
    levels = [random.gauss(0.0, 1.0) for _ in range(40)]
    alone, together, paired = Ratio(), Ratio(), Ratio()
    for side in (0, 1):
        for user, level in enumerate(levels):
            for n in range(10):
                value = level + random.gauss(0.0, 0.1)
                alone.add(side, user * 20 + n + 10 * side, value)
                together.add(side, user + 100 * side, value)
                paired.add(side, user, value)
    widths = [(s.high or 0.0) - (s.low or 0.0) for s in (each.shift() for each in (alone, together, paired))]
    assert widths[1] > 2.5 * widths[0]
    assert widths[2] < 0.2 * widths[1]


@pytest.mark.parametrize("kind", ["mean", "rate", "median", "p90"])
def test_where_nothing_changed_one_in_twenty_is_called_a_change(kind: str) -> None:
    random, called, rounds = Random(7), 0, 400
    for _ in range(rounds):
        ratio, sample = Ratio(), Sample()
        for side, users in ((0, 60), (1, 25)):
            for user in range(users):
                level = random.gauss(0.0, 0.7)
                for _ in range(1 + user % 5):
                    value = random.gauss(level, 1.0)
                    failed = sum(random.random() < 0.1 for _ in range(5))
                    ratio.add(side, user + 100 * side, *((failed, 5.0) if kind == "rate" else (value, 1.0)))
                    sample.add(side, user + 100 * side, [math.exp(value)])
        shift = sample.shift(0.5 if kind == "median" else 0.9) if kind in ("median", "p90") else ratio.shift()
        assert shift.p is not None
        called += shift.p < 0.05
    assert 0.01 <= called / rounds <= 0.09


def test_a_latency_that_doubled_is_seen() -> None:
    random, sample = Random(3), Sample()
    for side in (0, 1):
        for cluster in range(50):
            sample.add(side, cluster, [random.lognormvariate(0.0, 0.5) * (1 + side) for _ in range(4)])
    shift = sample.shift(0.5)
    assert [shift.before, shift.after] == pytest.approx([1.0, 2.0], rel=0.15)
    assert shift.p is not None
    assert shift.p < 1e-4


def test_with_few_clusters_nothing_is_said_about_chance() -> None:
    shift = filled([1.0] * 9, [2.0] * 50).shift()
    assert (shift.before, shift.after, shift.low, shift.p) == (1.0, 2.0, None, None)
    sample = Sample()
    sample.add(0, 1, [1.0] * 100)
    sample.add(1, 2, [2.0] * 100)
    assert (sample.shift(0.9).difference, sample.shift(0.9).p) == (1.0, None)
    assert Ratio().shift().difference is None


def test_numbers_without_any_spread_differ_or_do_not() -> None:
    assert filled([0.0] * 20, [0.0] * 20).shift().p == 1.0
    assert filled([0.0] * 20, [1.0] * 20).shift().p == 0.0


def test_of_very_many_values_a_sample_is_kept() -> None:
    sample = Sample()
    for cluster in range(20):
        for side in (0, 1):
            sample.add(side, cluster, (n / 10_000 + side for n in range(10_000)))
    assert sample.counts == [200_000, 200_000]
    shift = sample.shift(0.9)
    assert [shift.before, shift.after] == pytest.approx([0.9, 1.9], abs=0.01)
    assert MOST_VALUES < 200_000
