"""Near-duplicate tasks: which are one, and whose session stands for it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.capture.made import candidate

from drawbar.capture.alike import merged, near_duplicates
from drawbar.capture.candidate import Candidate
from drawbar.errors import ConfigurationError

ASKED = "My parcel has not come yet, and I have waited for it since last week. Can you find out where it is?"
NEARLY = "My parcel has not come yet and I have waited for it since last week. Can you find out where it is??"


def sessions(found: list[Candidate]) -> list[tuple[str, ...]]:
    return [each.sessions for each in found]


def test_what_is_asked_in_nearly_the_same_words_is_one_task_and_counted() -> None:
    found = merged([candidate("a", ASKED), candidate("b", "Something else."), candidate("c", NEARLY)])

    assert sessions(found) == [("b",), ("c", "a")]
    assert [each.count for each in found] == [1, 2]
    assert found[1].families == {"a", "c"}


def test_the_session_that_somebody_corrected_stands_for_the_others_then_the_best_then_the_newest() -> None:
    corrected = candidate("a", ASKED, started=1.0, reward=0.1, answer="Sorry.", answer_source="correction")
    liked = candidate("b", ASKED, started=2.0, answer="Here.", answer_source="accepted", feedback={"thumbs": 1.0})
    good = candidate("c", ASKED, started=3.0, reward=0.9)
    newest = candidate("d", ASKED, started=4.0, reward=0.5)
    unscored = candidate("e", ASKED, started=5.0)

    assert sessions(merged([unscored, newest, good, liked, corrected])) == [("a", "b", "c", "d", "e")]
    assert sessions(merged([candidate("old", ASKED, started=1.0), candidate("new", ASKED, started=2.0)])) == [
        ("new", "old")
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"asked": f"{ASKED} It is order 1042."}, {"asked": f"{ASKED} It is order 1043."}),
        ({"system": "You work in a shop for shoes."}, {"system": "Du bist ein Pirat und sprichst auch so."}),
        ({"user_turns": ("Thanks!",)}, {"user_turns": ("No, another parcel: the one with the garden chairs in it.",)}),
        ({"environment": "shop"}, {"environment": "bank"}),
        ({"answer": "yes", "answer_source": "task"}, {"answer": "no", "answer_source": "task"}),
        ({"info": {"level": 1}}, {"info": {"level": 2}}),
        (
            {"opening": ({"role": "user", "content": [{"type": "text", "text": ASKED}, {"image_url": "data:1"}]},)},
            {"opening": ({"role": "user", "content": [{"type": "text", "text": ASKED}, {"image_url": "data:2"}]},)},
        ),
        (
            {"opening": ({"role": "assistant", "content": "Welcome to the shop."}, {"role": "user", "content": ASKED})},
            {"opening": ({"role": "user", "content": ASKED},)},
        ),
    ],
)
def test_another_number_prompt_turn_place_answer_or_picture_is_another_task(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert len(merged([candidate("a", **{"asked": ASKED, **one}), candidate("b", **{"asked": ASKED, **other})])) == 2


def test_a_long_system_prompt_that_all_share_makes_no_two_requests_alike() -> None:
    system = "You work in a shop. " * 300

    assert len(merged([candidate("a", "Where is it?", system=system), candidate("b", "Pay me!", system=system)])) == 2


def test_system_prompts_may_tell_another_time_of_day() -> None:
    system = "You work in a shop for shoes and answer what people ask about their orders. It is {} o'clock."

    assert len(merged([candidate(hour, ASKED, system=system.format(hour)) for hour in ("9", "10", "11")])) == 1


def test_merging_again_changes_nothing() -> None:
    once = merged([candidate(each, text) for each, text in (("a", ASKED), ("b", NEARLY), ("c", "Pay me!"))])

    assert merged(once) == once


def test_what_was_merged_before_stays_counted() -> None:
    once = merged([candidate("a", ASKED), candidate("b", NEARLY)])
    (found,) = merged([*once, candidate("c", ASKED, reward=1.0)])

    assert found.session == "c"
    assert set(found.sessions) == {"a", "b", "c"}
    assert all(not other.merged for other in found.merged)


def test_near_duplicates_are_found_without_merging_them() -> None:
    assert near_duplicates([candidate("a", ASKED), candidate("b"), candidate("c", NEARLY)]) == [[0, 2], [1]]


def test_nothing_is_merged_of_nothing_and_a_threshold_must_be_a_share() -> None:
    assert merged([]) == []
    with pytest.raises(ConfigurationError, match="up to 1"):
        merged([candidate("a")], 2.0)
