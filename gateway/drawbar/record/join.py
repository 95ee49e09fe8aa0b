"""The two-sided join: what the model asked for, against what was called.

Where a harness sends the model's id along with the call, they are joined by it; else by the tool's name, the
arguments and order. What is sure is joined first; what is looser only takes what is left, and only where it is plain.
Nothing is joined twice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from drawbar.record.arguments import agree, exact, inner_calls, loose
from drawbar.record.asked import Asked
from drawbar.record.matching import Wish, match
from drawbar.record.names import Names
from drawbar.record.said import Said

ID_KEYS: Final = ("drawbar/toolUseId", "claudecode/toolUseId", "callId", "itemId")
"""Where harnesses put the model's id for a tool call in `_meta`."""

_FEW: Final = 32
"""Calls and tool uses of one turn that are left over, above which nothing is plain any more."""


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call that a server got."""

    id: str
    name: str
    """As the agent saw it."""
    arguments: Any
    meta: Mapping[str, Any]
    started: float = 0.0
    said: Said | None = None
    """None: nothing was answered."""


@dataclass(frozen=True, slots=True)
class Joined:
    """One tool call's other side."""

    asked: Asked
    by: str
    """id | arguments | likeness (the same but for spelling or defaults) | order (the arguments are others) |
    words (the reply names tool and arguments in its text)"""


_Inner = tuple[str, Mapping[str, Any]]
_KeyOfWish = Callable[[Wish], Hashable]
_KeyOfCall = Callable[[Called], Iterable[Hashable]]


def join(asked: Sequence[Asked], called: Sequence[Called]) -> dict[str, Joined]:
    """What the model asked for with each call, by the call's id, as far as it can be told."""
    return _Joining(asked, called).run() if asked and called else {}


class _Joining:
    """One session's join under way."""

    def __init__(self, asked: Sequence[Asked], called: Sequence[Called]) -> None:
        self._asked = asked
        self._left = sorted(called, key=lambda call: call.started)
        self._names = Names((call.name for call in called), ())
        inner = {each: self._inside(each) for each in asked}
        used = (name for each in asked for name in (each.use.name, *(name for name, _ in inner[each])))
        self._names = Names((call.name for call in called), used)
        self._ranks = {name: rank for names in self._names.ranked().values() for rank, name in enumerate(names)}
        self._wishes = [wish for each in asked for wish in self._of(each, inner[each])]
        self._found: dict[str, Joined] = {}

    def _inside(self, asked: Asked) -> list[_Inner]:
        """The calls that are made through a tool use, if it is of no tool of ours."""
        if self._names.may_mean(asked.use.name):
            return []
        return list(inner_calls(asked.use.arguments, self._names.may_mean))

    def _of(self, asked: Asked, inner: Sequence[_Inner]) -> Iterable[Wish]:
        """What a tool use asks for: its own tool, or those that are called through it."""
        use, last = asked.use, len(self._ranks)
        tool = self._names.tool(use.name)
        if tool is not None:
            return [Wish(asked, tool, use.arguments, asked.arguments, self._ranks[use.name])]
        through = [Wish(asked, self._names.tool(name) or "", given, exact(given), last) for name, given in inner]
        return through or [Wish(asked, "", None, b"", last)]

    def run(self) -> dict[str, Joined]:
        self._join_like("id", lambda wish: wish.asked.use.id, _ids)
        self._join_like("arguments", lambda wish: (wish.tool, wish.key), lambda c: [(c.name, exact(c.arguments))])
        self._join_like(
            "likeness", lambda wish: (wish.tool, loose(wish.arguments)), lambda c: [(c.name, loose(c.arguments))]
        )
        left = [wish.asked for wish in self._wishes]
        self._join_near("likeness", left, lambda wish, call: agree(wish.arguments, call.arguments))
        sure = {joined.asked.use.name for joined in self._found.values()}
        self._join_near(
            "order", self._asked, lambda wish, call: wish.asked.use.name in sure or wish.asked.use.name == call.name
        )
        return self._found

    def _tidy(self) -> None:
        self._left = [call for call in self._left if call.id not in self._found]
        self._wishes = [wish for wish in self._wishes if not wish.taken]

    def _join_like(self, by: str, of_wish: _KeyOfWish, of_call: _KeyOfCall) -> None:
        """Join what has the same key."""
        calls: dict[Hashable, list[Called]] = defaultdict(list)
        for call in self._left:
            for key in dict.fromkeys(of_call(call)):
                calls[key].append(call)
        if not calls:
            return
        wishes: dict[Hashable, list[Wish]] = defaultdict(list)
        for wish in self._wishes:
            if (key := of_wish(wish)) in calls:
                wishes[key].append(wish)
        for key, same in wishes.items():
            left = [call for call in calls[key] if call.id not in self._found]
            for wish, call in match(same, left):
                self._found[call.id] = Joined(wish.asked, by)
        self._tidy()

    def _join_near(self, by: str, asked: Iterable[Asked], fits: Callable[[Wish, Called], bool]) -> None:
        """Join what fits nothing else of the same turn. A turn lasts from one of the tool uses in `asked` to the next
        reply's."""
        if not self._left or not self._wishes:
            return
        starts = sorted({each.since for each in asked})
        turns: dict[tuple[int, str], tuple[list[Wish], list[Called]]] = defaultdict(lambda: ([], []))
        for call in self._left:
            turns[bisect_right(starts, call.started), call.name][1].append(call)
        for wish in self._wishes:
            turns[bisect_right(starts, wish.asked.since), wish.tool][0].append(wish)
        for wishes, calls in turns.values():
            if len(wishes) <= _FEW and len(calls) <= _FEW:
                self._take_plain(by, wishes, calls, fits)
        self._tidy()

    def _take_plain(
        self, by: str, wishes: Sequence[Wish], calls: Sequence[Called], fits: Callable[[Wish, Called], bool]
    ) -> None:
        pairs = [(wish, call) for wish in wishes for call in calls if fits(wish, call)]
        for wish, call in pairs:
            if sum(other is wish for other, _ in pairs) == 1 == sum(other is call for _, other in pairs):
                wish.taken = True
                self._found[call.id] = Joined(wish.asked, by)


def _ids(call: Called) -> list[str]:
    return [id for key in ID_KEYS if isinstance(id := call.meta.get(key), str) and id]
