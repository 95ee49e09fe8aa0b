"""Samples of candidates: every kind has its share, and the same seed draws the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.capture.made import candidate

from drawbar.capture.candidate import Candidate
from drawbar.capture.sampling import KINDS, sampled
from drawbar.errors import ConfigurationError


def of_models(**counts: int) -> list[Candidate]:
    return [candidate(f"{model}{n}", model=model) for model, count in counts.items() for n in range(count)]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 60), st.integers(0, 5))
def test_every_kind_has_its_share(sizes: list[int], count: int, seed: int) -> None:
    candidates = of_models(**{f"m{n}x": size for n, size in enumerate(sizes)})
    taken = sampled(candidates, count, ["model"], seed)
    found = Counter(each.model for each in taken)

    assert len(taken) == min(count, len(candidates))
    assert taken == [each for each in candidates if each in taken]
    for n, size in enumerate(sizes):
        if len(sizes) <= count < len(candidates):
            assert 1 <= found[f"m{n}x"] <= size
        assert abs(found[f"m{n}x"] - min(count, len(candidates)) * size / len(candidates)) < 1 + len(sizes)


def test_a_kind_that_is_rare_is_there_nevertheless() -> None:
    found = Counter(each.model for each in sampled(of_models(big=95, small=4, rare=1), 10, ["model"]))

    assert found == {"big": 8, "small": 1, "rare": 1}


def test_with_more_kinds_than_places_chance_decides_among_the_rare_ones() -> None:
    candidates = of_models(big=50, **{f"rare{n}": 1 for n in range(50)})
    drawn = [frozenset(each.session for each in sampled(candidates, 10, ["model"], seed)) for seed in range(5)]

    assert len(set(drawn)) == 5
    assert all(sum(session.startswith("big") for session in sessions) == 5 for sessions in drawn)


def test_the_same_seed_draws_the_same_and_another_one_another_sample() -> None:
    candidates = of_models(a=50, b=50)

    assert sampled(candidates, 10, ["model"], 3) == sampled(candidates, 10, ["model"], 3)
    assert sampled(candidates, 10, ["model"], 3) != sampled(candidates, 10, ["model"], 4)


def test_candidates_that_are_added_leave_most_of_a_sample_as_it_was() -> None:
    before, after = of_models(a=50, b=50), of_models(a=52, b=52)

    assert len(set(map(str, sampled(before, 20, ["model"]))) & set(map(str, sampled(after, 20, ["model"])))) >= 16


def test_requests_about_the_same_are_one_cluster() -> None:
    orders = [candidate(f"order{n}", f"Where is my order number {n}? It has not come yet.") for n in range(90)]
    others = [candidate(f"other{n}", text) for n, text in enumerate(["Cancel my account, please.", "Grüezi mitenand!"])]

    assert [each.session for each in sampled([*orders, *others], 3, ["cluster"])][1:] == ["other0", "other1"]


def test_rewards_are_in_bins_and_none_is_one_of_its_own() -> None:
    rewards: list[float | None] = [*[n / 100 for n in range(100)], *[None] * 20]
    candidates = [candidate(f"s{n}", reward=reward) for n, reward in enumerate(rewards)]
    taken = sampled(candidates, 12, ["reward"])

    known = [each.reward for each in taken if each.reward is not None]
    assert len(known) == 10
    assert Counter(int(reward * 5) for reward in known) == dict.fromkeys(range(5), 2)


def test_few_rewards_are_each_a_bin() -> None:
    candidates = [candidate(f"s{n}", reward=float(n % 3 == 0)) for n in range(30)]

    assert Counter(each.reward for each in sampled(candidates, 9, ["reward"])) == {0.0: 6, 1.0: 3}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("tag", [{"tags": ("a", "b")}, {"tags": ("b", "a")}, {"tags": ()}]),
        ("environment", [{"environment": "e"}, {"environment": "e"}, {}]),
        ("answer", [{"answer_source": "accepted"}, {"answer_source": "accepted"}, {}]),
    ],
)
def test_other_kinds(kind: str, fields: list[dict[str, Any]]) -> None:
    common, same, rare = ([candidate(f"{n}{m}", **each) for m in range(5)] for n, each in enumerate(fields))
    taken = sampled([*common, *same, rare[0]], 2, [kind])

    assert taken[1] == rare[0]


def test_kinds_can_be_combined() -> None:
    candidates = [candidate(f"{m}{r}{n}", model=m, reward=float(r)) for m in "ab" for r in (0, 1) for n in range(5)]

    assert {(each.model, each.reward) for each in sampled(candidates, 4, ["model", "reward"])} == {
        ("a", 0.0), ("a", 1.0), ("b", 0.0), ("b", 1.0),
    }  # fmt: skip


def test_without_a_kind_all_are_one() -> None:
    assert len(sampled(of_models(a=9), 4, [])) == 4


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'modell'\. Did you mean 'model'"):
        sampled([], 1, ["modell"])
    with pytest.raises(ConfigurationError, match="1 task or more"):
        sampled([], 0)
    assert sampled([], 5, KINDS) == []
