"""On which side of a split a task is: to train on, or to test with. A hash of the task's content says it, so the same
task is on the same side for ever, whatever else is exported; with a larger share for tests none goes back.

Live sessions are placed by their user, or, where no user is known, with the sessions that they go on from.
What would then be on both sides is where its first session is, and its later sessions that would be on the other side
are on none: those of a user who went on with another's, and those that begin with the same words as another user's.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final, Literal, TypeAlias

from drawbar.errors import ConfigurationError
from drawbar.export.survey import Seen
from drawbar.ids import digest

Side: TypeAlias = Literal["train", "test"]

SIDES: Final[tuple[Side, ...]] = ("train", "test")


def side_of(name: bytes, share: float) -> Side:
    """The side of whatever has this name; `share` of all are to test with."""
    return "test" if int.from_bytes(digest(name)[:8]) < share * 2**64 else "train"


def sides(seen: Sequence[Seen], hashes: Sequence[str | None], share: float) -> dict[str, Side]:
    """The side of each session; those that would be on both are not there. `hashes`: of each task, None where live
    sessions are one.

    Raises:
        ConfigurationError: a share that is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ConfigurationError(f"The part of a split that is to test with is between 0 and 1, not {share:g}.")
    found: dict[str, Side] = {}
    placed: dict[Hashable, Side] = {}
    for each in seen:
        hash = hashes[each.task]
        if hash is not None:
            found[each.id] = side_of(hash.encode(), share)
            continue
        ties: list[Hashable] = [("task", each.task), ("family", each.family)]
        if each.user is not None:
            side = side_of(b"user" + each.user, share)
        else:
            side = placed.get(ties[1]) or side_of(b"family" + (each.family or b""), share)
        if all(placed.get(tie, side) == side for tie in ties):
            placed |= dict.fromkeys(ties, side)
            found[each.id] = side
    return found
