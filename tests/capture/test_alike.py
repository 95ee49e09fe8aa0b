"""Near duplicates of texts: what is called alike is so by exact comparison, and little that is alike is missed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.alike import HeldOut, groups, likeness, linked
from drawbar.errors import ConfigurationError

WORDS = [a + b + c for a in ("or", "ship", "tra", "re", "pay") for b in ("der", "ment", "ck") for c in ("", "s", "ing")]
SENTENCES = st.lists(st.sampled_from(WORDS[:12]), max_size=12).map(" ".join)


def varied(count: int, seed: int) -> list[str]:
    """Texts of which each is one of a few with some words changed: pairs of every likeness."""
    chance = random.Random(seed)
    bases = [chance.choices(WORDS, k=40) for _ in range(max(1, count // 8))]
    texts = []
    for _ in range(count):
        words = list(chance.choice(bases))
        for _ in range(chance.randrange(8)):
            words[chance.randrange(len(words))] = chance.choice(WORDS)
        texts.append(" ".join(words))
    return texts


def pairs(found: list[list[int]]) -> Iterator[tuple[int, int]]:
    for group in found:
        yield from combinations(group, 2)


def components(texts: list[str], threshold: float) -> list[list[int]]:
    """By comparing every pair."""
    parts = [{position} for position in range(len(texts))]
    for one, other in combinations(range(len(texts)), 2):
        if likeness(texts[one], texts[other]) >= threshold:
            meant = [part for part in parts if one in part or other in part]
            parts = [part for part in parts if part not in meant] + [set().union(*meant)]
    return sorted(sorted(part) for part in parts)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85, 0.95, 1.0])
def test_texts_hang_together_as_comparing_every_pair_says(threshold: float) -> None:
    texts = varied(150, seed=3)

    assert linked(texts, threshold) == components(texts, threshold)


@given(st.lists(SENTENCES, max_size=25), st.sampled_from([0.4, 0.6, 0.8, 1.0]))
def test_all_of_a_group_are_alike_to_its_first(texts: list[str], threshold: float) -> None:
    found = groups(texts, threshold)

    assert sorted(position for group in found for position in group) == list(range(len(texts)))
    assert found == sorted(found)
    for group in found:
        assert group == sorted(group)
        assert all(likeness(texts[group[0]], texts[other]) >= threshold for other in group)


def test_of_pairs_at_the_threshold_hardly_one_is_missed() -> None:
    """Alone in their corner, so that no chain of other texts brings them together."""
    chance = random.Random(5)
    texts: list[str] = []
    for pair in range(400):
        words = [f"{pair}{''.join(chance.choices('abcdefgh', k=5))}" for _ in range(60)]
        changed = list(words)
        while likeness(" ".join(words), " ".join(changed)) > 0.9:
            changed[chance.randrange(60)] = "".join(chance.choices("stuvwxyz", k=6))
        texts += [" ".join(words), " ".join(changed)]
    wanted = sum(likeness(texts[i], texts[i + 1]) >= 0.85 for i in range(0, len(texts), 2))

    assert wanted > 350
    assert len(list(pairs(linked(texts, 0.85)))) >= wanted - 1


def test_the_same_seed_gives_the_same_groups() -> None:
    texts = varied(200, seed=9)

    assert groups(texts, 0.8, seed=4) == groups(list(texts), 0.8, seed=4)


def test_case_width_and_white_space_make_no_difference_but_signs_do() -> None:
    assert likeness("Where is my  ORDER?\n", "where is my order?") == 1.0
    assert likeness("Ｈｅｌｌｏ there", "hello there") == 1.0
    assert groups(["C", "C++", " c "]) == [[0, 2], [1]]


def test_short_empty_and_broken_texts_are_texts() -> None:
    assert groups(["", " ", "hi", "Hi", "ho", "\ud83d", "\ud83d", "你好"]) == [[0, 1], [2, 3], [4], [5, 6], [7]]
    assert groups([]) == linked([]) == []


@pytest.mark.slow
def test_many_that_are_all_nearly_alike_take_no_time_that_grows_with_their_pairs() -> None:
    class Counted(list[str]):
        asked = 0

        def __getitem__(self, position: int) -> str:  # type: ignore[override]
            self.asked += 1
            return super().__getitem__(position)

    chance = random.Random(2)
    head = "".join(chance.choices("abcdefgh ", k=300))
    texts = Counted(head + "".join(chance.choices("abcdefgh ", k=40)) for _ in range(2000))

    found = groups(texts, 0.85)

    assert len(found) > 100
    assert texts.asked < 60 * len(texts), "half of all pairs would be 1,000 for each"


def test_what_repeats_a_held_out_text_is_found_whole_or_inside() -> None:
    held = HeldOut(["Refund order 1042 to the card that it was paid with, please.", "hello"], 0.8)

    assert held.find("refund ORDER 1042 to the card that it was paid with, please") == (0, 55 / 56)
    found = held.find(
        "A customer wrote: 'Refund order 1042 to the card that it was paid with, please.' " + "x y z " * 99
    )
    assert found == (0, 1.0)
    assert held.find("Refund nothing") is None
    assert held.find("Hello") == (1, 1.0)
    assert held.find("hello, I have a question") is None, "so short a text stands in many that do not repeat it"
    assert HeldOut([]).find("anything") is None


@given(st.lists(SENTENCES, max_size=8), SENTENCES)
def test_every_text_that_is_alike_to_a_held_out_one_is_found(held: list[str], text: str) -> None:
    near = [other for other in held if text and other and likeness(other, text) >= 0.7]

    assert not near or HeldOut(held, 0.7).find(text) is not None


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold: float) -> None:
    for refused in (groups, linked):
        with pytest.raises(ConfigurationError, match="up to 1"):
            refused(["a"], threshold)
    with pytest.raises(ConfigurationError, match="up to 1"):
        HeldOut(["a"], threshold)
