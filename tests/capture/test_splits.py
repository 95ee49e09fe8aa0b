"""Splits into train and test: nobody and nothing is on both sides, and what comes later moves nothing."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.capture.made import candidate

from drawbar.alike import THRESHOLD, likeness
from drawbar.capture.alike import merged
from drawbar.capture.candidate import Candidate
from drawbar.capture.split import Split, split
from drawbar.errors import ConfigurationError

ASKED = [
    "My parcel has not come yet, and I have waited for it since last week. Can you find out where it is?",
    "My parcel has not come yet and I have waited for it since last week. Can you find out where it is??",
    "I want my money back for the shoes that I sent you, and I want it on the card that I paid with.",
    "Close my account.",
    "Close my account!",
]


@st.composite
def recorded(draw: st.DrawFn) -> list[Candidate]:
    """Sessions of some users and families that ask some of the same."""
    count = draw(st.integers(2, 25))
    return [
        candidate(
            f"s{n}",
            draw(st.sampled_from([*ASKED, *(f"What is the price of article {a}?" for a in range(9)), f"{n} alone."])),
            user=draw(st.sampled_from([None, "ada", "bob", "eve", "joe"])),
            family=draw(st.sampled_from([f"s{n}", "f1", "f2", "f3"])),
            started=float(n),
        )
        for n in range(count)
    ]  # fmt: skip


def halves(candidates: list[Candidate], seed: int = 0) -> Split | None:
    """None where there are too few for two sides."""
    try:
        return split(candidates, 0.5, seed=seed)
    except ConfigurationError:
        return None


def sides(found: Split) -> dict[str, str]:
    return {
        session: name
        for name, part in (("train", found.train), ("test", found.test))
        for each in part
        for session in each.sessions
    }


@given(recorded(), st.booleans(), st.integers(0, 9))
def test_no_user_family_or_near_duplicate_is_on_both_sides(candidates: list[Candidate], merge: bool, seed: int) -> None:
    found = halves(merged(candidates) if merge else candidates, seed)
    if found is None:
        return
    for one, other in product(found.train, found.test):
        assert not one.users & other.users
        assert not one.families & other.families
        assert (
            one.request == other.request
            or likeness(one.request, other.request) < THRESHOLD
            or ({*filter(str.isdigit, one.request)} != {*filter(str.isdigit, other.request)})
        )
        assert one.request != other.request


@given(recorded(), st.booleans())
def test_every_session_is_on_one_side_or_told(candidates: list[Candidate], merge: bool) -> None:
    found = halves(merged(candidates) if merge else candidates)
    if found is None:
        return
    kept = [session for part in (found.train, found.test) for each in part for session in each.sessions]

    assert sorted([*kept, *found.torn, *found.repeated]) == sorted(each.session for each in candidates)


@given(recorded(), st.integers(1, 24), st.booleans())
def test_later_sessions_move_no_earlier_one(candidates: list[Candidate], known: int, merge: bool) -> None:
    before, after = (halves(merged(some) if merge else some) for some in (candidates[:known], candidates))
    if before is None or after is None:
        return
    then, now = sides(before), sides(after)

    assert {session: now[session] for session in then if session in now} == {s: then[s] for s in then if s in now}
    if not merge:
        assert then.keys() <= now.keys()


@pytest.mark.parametrize(("count", "share", "off"), [(10, 0.5, 1), (20, 0.2, 2), (300, 0.1, 7), (2000, 0.2, 41)])
def test_the_share_is_kept(count: int, share: float, off: int) -> None:
    for seed in range(3):
        found = split([candidate(f"s{n:04}", f"Question {n}") for n in range(count)], share, seed=seed)
        assert abs(len(found.test) - share * count) <= off


def test_sides_are_drawn_anew_with_another_seed_and_the_same_with_the_same() -> None:
    candidates = [candidate(f"s{n:03}", f"Question {n}") for n in range(100)]

    assert split(candidates, seed=1) == split(candidates, seed=1)
    assert sides(split(candidates, seed=1)) != sides(split(candidates, seed=2))


def test_a_task_keeps_the_sessions_of_the_side_of_its_oldest() -> None:
    candidates = [candidate(f"s{n}", f"Question {n}", user=f"u{n}", started=float(n)) for n in range(8)]
    side = sides(split(candidates, 0.5))
    one, other = "s0", next(session for session in side if side[session] != side["s0"])
    again = [
        candidate(f"{each}-again", ASKED[0], user=f"u{each[1:]}", started=9.0 + n)
        for n, each in enumerate((one, other))
    ]
    found = split(merged([*candidates, *again]), 0.5)

    assert sides(found) == {**side, "s0-again": side["s0"]}
    assert found.repeated == [f"{other}-again"]


def test_a_session_between_two_sides_is_on_none() -> None:
    candidates = [candidate(f"s{n}", f"Question {n}", user=f"u{n}", started=float(n)) for n in range(8)]
    side = sides(split(candidates, 0.5))
    other = next(session for session in side if side[session] != side["s0"])
    found = split([*candidates, candidate("s9", user="u0", family=other, started=9.0)], 0.5)

    assert found.torn == ["s9"]
    assert sides(found) == side


def test_too_few_users_for_two_sides_are_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match="3 tasks of 1 known users and 3 conversations"):
        split([candidate(f"s{n}", user="ada") for n in range(3)], 0.5)
    for share in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ConfigurationError, match="between 0 and 1"):
            split([candidate("a"), candidate("b")], share)
