"""When an answer counts as right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar_wiki_search.answers import matches, normalise


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("Answer: Seine\nSources: paris", "Seine"),
        ("The river is the Seine.", "the Seine"),
        ("**Answer:** Île-de-France", "Ile-de-France"),
        ("It was founded in 1,200 BC", "1200"),
        ("The final answer is: 12 000 metres", "12,000 metres"),
        ("answer: Röntgen", "Rontgen"),
        ("It took 3.5 years.", "3.5 years"),
        ("Rubik's Cube, I think", "Rubik's cube"),
    ],
)
def test_an_answer_is_right_with_or_without_a_sentence_around_it(completion: str, answer: str) -> None:
    assert matches(completion, [answer])


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("Answer: Loire", "Seine"),
        ("Answer: 1912", "12"),
        ("Answer: Parisian", "Paris"),
        ("", "Paris"),
        ("I considered Paris. Answer: Lyon", "Paris"),
        ("Answer: 35 years", "3.5 years"),
    ],
)
def test_a_wrong_answer_is_wrong(completion: str, answer: str) -> None:
    assert not matches(completion, [answer])


def test_a_long_text_that_merely_mentions_the_answer_is_not_an_answer() -> None:
    assert not matches("Paris is a city. " + "Many things can be said of it. " * 20 + "I am not sure.", ["Paris"])


def test_naming_an_alias_is_as_good() -> None:
    assert matches("Answer: Big Apple", ["New York", "Big Apple"])


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(" ".join(once)) == once
