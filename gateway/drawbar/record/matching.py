"""Which of several like calls is which: by what the model was then shown, and else by order.

An agent may ask for the same thing several times, at once or in turn, and parallel calls reach their server in any
order. Decides among calls and tool uses that are already known to be alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from drawbar.record.asked import Asked
from drawbar.record.said import Said
from drawbar.record.shown import WHOLE, compare

_FEW: Final = 16
"""How many tool uses are looked at, at most, for the one whose result holds a call's."""


@dataclass(slots=True, eq=False)
class Wish:
    """One call that a tool use asks for. A use that calls through another tool may ask for several."""

    asked: Asked
    tool: str
    """Empty: none that this session called."""
    arguments: Any
    key: bytes
    """What is the same for the same arguments."""
    rank: int
    """How sure it is that the tool is meant; 0 the surest."""
    taken: bool = False


class Alike(Protocol):
    """What is to be known of a call."""

    @property
    def started(self) -> float: ...

    @property
    def said(self) -> Said | None:
        """None: nothing was answered."""


C = TypeVar("C", bound=Alike)


def match(wishes: Sequence[Wish], calls: Sequence[C]) -> list[tuple[Wish, C]]:
    """Pairs of a tool use and a call, in which each stands once at most; the uses are marked as taken.

    Calls in the order of their start, uses in the order of the replies.
    """
    if len(wishes) == len(calls) == 1:
        wishes[0].taken = True
        return [(wishes[0], calls[0])]
    pairs: list[tuple[Wish, C]] = []
    left = list(_without_shown(wishes, calls, pairs))
    queues = [_Queue(wish for wish in wishes if wish.rank == rank) for rank in sorted({wish.rank for wish in wishes})]
    for queue in queues:
        left = [call for call in left if not _took(queue.before(call.started), call, pairs)]
    for queue in queues:
        left = [call for call in left if not _took(queue.all(call.started), call, pairs)]
    return pairs


def _took(candidates: Iterator[Wish], call: C, pairs: list[tuple[Wish, C]]) -> bool:
    wish = next(candidates, None)
    if wish is None:
        return False
    wish.taken = True
    pairs.append((wish, call))
    return True


def _without_shown(wishes: Sequence[Wish], calls: Sequence[C], pairs: list[tuple[Wish, C]]) -> Iterator[C]:
    """Pair the calls whose result the model was shown whole; the others."""
    by_text: dict[str, list[Wish]] = defaultdict(list)
    for wish in wishes:
        if wish.asked.result is not None:
            by_text[wish.asked.result.text.strip()].append(wish)
    queues = {text: _Queue(same) for text, same in by_text.items()}
    everyone = _Queue(wishes)
    for call in calls:
        said = call.said
        text = "" if said is None else said.text.strip()
        same = queues.get(text)
        if text and same is not None and _took(same.all(call.started), call, pairs):
            continue
        if said is None or not text or not _took(_holding(said, everyone.all(call.started)), call, pairs):
            yield call


def _holding(said: Said, candidates: Iterator[Wish]) -> Iterator[Wish]:
    for wish in islice(candidates, _FEW):
        if wish.asked.result is not None and compare(said, wish.asked.result) in WHOLE:
            yield wish


class _Queue:
    """Tool uses that are free. A call is most likely for the newest reply before it, and in that for the first."""

    def __init__(self, wishes: Iterable[Wish]) -> None:
        replies: dict[str, deque[Wish]] = defaultdict(deque)
        for wish in wishes:
            replies[wish.asked.call.id].append(wish)
        self._replies = sorted(replies.values(), key=lambda uses: uses[0].asked.since)
        self._starts = [uses[0].asked.since for uses in self._replies]

    def before(self, started: float) -> Iterator[Wish]:
        """Those that a call may be for that started then, the likeliest first."""
        place = bisect_left(self._starts, started) - 1
        while place >= 0:
            yield from self._free(place)
            place -= 1

    def all(self, started: float) -> Iterator[Wish]:
        """Those of later replies too, behind them: clocks may differ."""
        yield from self.before(started)
        place = bisect_left(self._starts, started)
        while place < len(self._replies):
            there = len(self._replies)
            yield from self._free(place)
            place += len(self._replies) == there

    def _free(self, place: int) -> Iterator[Wish]:
        uses = self._replies[place]
        while uses and uses[0].taken:
            uses.popleft()
        if not uses:
            del self._replies[place], self._starts[place]
        yield from (wish for wish in uses if not wish.taken)
