"""Pairs of a better and a worse reply to the same: which of them there are. Knows no message, only where ways part.

Two sessions of one task with the same tools are a pair where they part at replies of the model's own. All that came
before is the same, so it is what both were asked; where they part at something else, at a tool that answered otherwise
say, they are none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from drawbar.export.choice import Choice, Order, Source
from drawbar.export.notes import Note
from drawbar.export.survey import STEP, Seen
from drawbar.record.facts import CallFacts
from drawbar.record.feedback import CORRECTION

_CLOSE: Final = 1e-9
_LOOKED_AT: Final = 64
"""Sessions of a task that are looked at: half of them the best, half the worst. Live sessions that all begin with
`hi` are many, and their pairs many more."""


class Pair(NamedTuple):
    """Two replies, of which one is better. Without calls they are those at which both ways part."""

    chosen: str
    """Its session."""
    rejected: str
    source: Source
    better_by: float = 0.0
    chosen_call: str | None = None
    rejected_call: str | None = None
    """Of a correction: the reply that is corrected, None for the last one."""


class Siblings(NamedTuple):
    """The pairs of one task."""

    pairs: list[Pair]
    spare: set[str]
    """Sessions that could be in a pair as well, of which there are enough."""


def siblings(task: Sequence[Seen], choice: Choice, most: int, order: Order) -> Siblings:
    """At most so many pairs of the sessions of one task: those that differ most first, each session as seldom as can
    be."""
    rated = _extremes(task, order)
    found = list(_possible(rated, choice))
    found.sort(key=lambda pair: (-pair.better_by, order(pair.chosen + pair.rejected)))
    looked_at = {each.id for each in rated}
    spare = {each.id for each in task if each.reward is not None and each.id not in looked_at}
    spare.update(id for pair in found for id in (pair.chosen, pair.rejected))
    kept: list[Pair] = []
    used: Counter[str] = Counter()
    while found and len(kept) < most:
        best = min(found, key=lambda pair: used[pair.chosen] + used[pair.rejected])
        found.remove(best)
        kept.append(best)
        used.update((best.chosen, best.rejected))
    return Siblings(kept, spare - used.keys())


def _extremes(task: Sequence[Seen], order: Order) -> list[Seen]:
    rated = sorted(
        (each for each in task if each.reward is not None), key=lambda each: (-(each.reward or 0.0), order(each.id))
    )
    half = _LOOKED_AT // 2
    return rated if len(rated) <= _LOOKED_AT else [*rated[:half], *rated[-half:]]


def _possible(rated: Sequence[Seen], choice: Choice) -> Iterator[Pair]:
    for place, better in enumerate(rated):
        for worse in rated[place + 1 :]:
            difference = (better.reward or 0.0) - (worse.reward or 0.0)
            if difference <= _CLOSE or difference < choice.margin - _CLOSE or better.offered != worse.offered:
                continue
            source = _parting(better, worse)
            if source is not None and source in choice.pairs:
                yield Pair(better.id, worse.id, source, difference)


def _parting(one: Seen, other: Seen) -> Source | None:
    """What two sessions are to each other; None: no pair."""
    at = parting(one.path, other.path)
    if at * STEP >= min(len(one.path), len(other.path)) or not one.own >> at & other.own >> at & 1:
        return None
    before = (1 << at) - 1
    return "branches" if one.own & other.own & before else "siblings"


def parting(one: bytes, other: bytes) -> int:
    """How many messages two ways begin with that are the same."""
    low, high = 0, min(len(one), len(other)) // STEP
    while low < high:
        middle = (low + high + 1) // 2
        if one[: middle * STEP] == other[: middle * STEP]:
            low = middle
        else:
            high = middle - 1
    return low


def noted(session: str, notes: Sequence[Note], calls: Iterable[CallFacts], choice: Choice) -> list[Pair]:
    """The pairs of one session that people's notes make: corrections first, then replies to the same request."""
    found: list[Pair] = []
    if "corrections" in choice.pairs:
        corrections = (note for note in notes if note.name == CORRECTION and note.text)
        found += (Pair(session, session, "corrections", rejected_call=note.call) for note in corrections)
    if "branches" in choice.pairs:
        found += _of_branches(session, notes, calls, choice)
    return found


def _of_branches(session: str, notes: Sequence[Note], calls: Iterable[CallFacts], choice: Choice) -> Iterator[Pair]:
    of = {call.id: call for call in calls}
    rated = [note for note in notes if note.value is not None and note.call in of]
    rated.sort(key=lambda note: -(note.value or 0.0))
    for place, better in enumerate(rated):
        for worse in islice(rated, place + 1, None):
            one, other = of[str(better.call)], of[str(worse.call)]
            difference = (better.value or 0.0) - (worse.value or 0.0)
            same = better.name == worse.name and (one.request, one.tools) == (other.request, other.tools)
            apart = one.request is not None and one.reply != other.reply
            if same and apart and difference > _CLOSE and difference >= choice.margin - _CLOSE:
                yield Pair(session, session, "branches", difference, better.call, worse.call)
