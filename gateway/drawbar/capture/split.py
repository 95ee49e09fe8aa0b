"""Candidates in two parts, to train on and to test with, so that nobody and nothing is in both. Pure.

Sessions are placed in the order in which they began, each by those before it alone: sessions that are recorded later
move none. The side of a user (or of a conversation, where no user is known) is drawn by a hash of the name; a draw that
would take a side further from its share than `_SLACK` allows goes to the other one.

What would be on both sides is on none, and is told: a session whose user is on one side and whose conversation on the
other, and a near duplicate of an earlier task of the other side. A task that stands for sessions of both sides keeps
those of the side of its oldest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from drawbar.alike import THRESHOLD
from drawbar.capture.alike import near_duplicates, preference, standing_for
from drawbar.capture.candidate import Candidate
from drawbar.errors import ConfigurationError
from drawbar.ids import digest

Side: TypeAlias = Literal["train", "test"]

_SLACK: Final = (1, Fraction(1, 50))
"""By how many users one side may be off: so many, and so much of all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Both parts, each in the order that the candidates had, and the sessions that are in neither."""

    train: Sequence[Candidate]
    test: Sequence[Candidate]
    torn: Sequence[str] = ()
    """Their users and their conversations are on different sides."""
    repeated: Sequence[str] = ()
    """The same task as one of the other side's."""


def split(
    candidates: Sequence[Candidate], test: float = 0.2, *, threshold: float = THRESHOLD, seed: int = 0
) -> Split:  # fmt: skip
    """Put a share of the users, `test`, with all that is theirs on one side and the others on the other.

    Users are counted, not tasks: where some have many more sessions than others, shares of tasks differ from it. No
    user, no family of sessions and no near duplicate (by `threshold`) is on both sides.

    Raises:
        ConfigurationError: a share that leaves nothing on one side, or too few users and conversations for it.
    """
    if not 0 < test < 1:
        raise ConfigurationError(f"The test part is a share between 0 and 1, not {test:g}.")
    sides, torn = _placed([each for candidate in candidates for each in (candidate, *candidate.merged)], test, seed)
    repeated: list[str] = []
    parts: dict[Side, dict[int, Candidate]] = {"train": {}, "test": {}}
    for group in near_duplicates(candidates, threshold):
        members = [(at, each) for at in group for each in _sessions(candidates[at]) if each.session in sides]
        if not members:
            continue
        side = sides[min((each for _, each in members), key=_age).session]
        repeated += [each.session for _, each in members if sides[each.session] != side]
        kept: dict[int, list[Candidate]] = defaultdict(list)
        for at, each in members:
            if sides[each.session] == side:
                kept[at].append(each)
        parts[side] |= {at: _kept(candidates[at], some) for at, some in kept.items()}
    found = {side: [part[at] for at in sorted(part)] for side, part in parts.items()}
    for side, part in found.items():
        if not part:
            raise ConfigurationError(_too_few(side, candidates, test))
    return Split(train=found["train"], test=found["test"], torn=torn, repeated=repeated)


def _sessions(candidate: Candidate) -> Iterator[Candidate]:
    yield replace(candidate, merged=())
    yield from candidate.merged


def _kept(candidate: Candidate, sessions: Sequence[Candidate]) -> Candidate:
    """The candidate with these of its sessions only; as it is, if they are all."""
    if len(sessions) == candidate.count:
        return candidate
    ranked = sorted(sessions, key=preference, reverse=True)
    return standing_for(sorted(ranked, key=lambda each: each.session != candidate.session))


def _age(candidate: Candidate) -> tuple[float, str]:
    return candidate.started, candidate.session


def _placed(sessions: Sequence[Candidate], test: float, seed: int) -> tuple[dict[str, Side], list[str]]:
    """The side of each session, by its user and its family; and those that are torn."""
    of: dict[tuple[str, str], Side] = {}
    draw = _Draw(test, seed)
    sides: dict[str, Side] = {}
    torn: list[str] = []
    for each in sorted(sessions, key=_age):
        names = [("user", each.user)] if each.user else []
        names.append(("family", each.family or each.session))
        found = {of[name] for name in names if name in of}
        if len(found) > 1:
            torn.append(each.session)
            continue
        side = found.pop() if found else draw.side(" ".join(names[0]))
        of |= dict.fromkeys(names, side)
        sides[each.session] = side
    return sides, torn


class _Draw:
    """Sides by the hash of a name, held near their share."""

    def __init__(self, test: float, seed: int) -> None:
        self._test = Fraction(test).limit_denominator(10_000)
        self._seed = seed
        self._drawn = {"train": 0, "test": 0}

    def side(self, name: str) -> Side:
        """Of a name that has none yet."""
        number = int.from_bytes(digest(f"{self._seed} {name}".encode())[:8])
        side: Side = "test" if number < self._test * 2**64 else "train"
        ahead = self._drawn["test"] + (side == "test") - self._test * (sum(self._drawn.values()) + 1)
        slack = _SLACK[0] + _SLACK[1] * sum(self._drawn.values())
        if abs(ahead) >= slack:
            side = "train" if ahead > 0 else "test"
        self._drawn[side] += 1
        return side


def _too_few(side: Side, candidates: Sequence[Candidate], test: float) -> str:
    users = {user for candidate in candidates for user in candidate.users}
    families = {family for candidate in candidates for family in candidate.families}
    return (
        f"Nothing is left to {side}: {len(candidates)} tasks of {len(users)} known users and {len(families)} "
        f"conversations cannot be split so that nobody is on both sides, with {test:g} of them to test. Take more "
        "sessions, another share, or another seed."
    )
