"""Which call goes on from which: the tree of the calls of a session, or of many. Pure; it knows messages by node.

A call follows the one whose request is the longest known beginning of its own. That the reply comes next is not asked
for, since agents leave reasoning out of what they send back, or say a reply in other words: how much of it is there
labels the edge. Where several calls had the same request (parallel agents that begin alike, a repetition), the one
whose reply comes next is followed; else one of the same thread, before one that nothing follows yet, before the newest.

What comes next may be a reply in other words: an agent that was cut off joins what it had to what came then, another
one tells tool calls as text. Then the message is compared with the replies that may be meant; only then is any of them
read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from drawbar.record.retelling import likeness, retold
from drawbar.wire.dialect import BadBody, Dialect
from drawbar.wire.message import Message

Edge: TypeAlias = Literal["exact", "without_reasoning", "rewritten", "none"]
"""What of the followed call's reply is said again: all of it; all but its reasoning; something else; nothing."""

MOST_REMEMBERED: Final = 20_000
"""Calls after which a tree forgets the older half of them."""

MOST_BROKEN: Final = 8
"""Calls without a whole reply that are remembered of those that asked after the same message."""

_LATELY: Final = 16
"""Calls, and messages, among which a reply is looked for that was told in other words."""

S = TypeVar("S")


@dataclass(slots=True, eq=False)
class Turn(Generic[S]):
    """One call in the tree."""

    call: str
    session: S
    """Whose call it is."""
    leaf: bytes | None = None
    """The node of its request's last message."""
    thread: str | None = None
    reply: bytes | None = None
    """The node of its reply; None: it has none, or none yet."""
    open: bool = True
    """It is under way."""
    answered: bool = False
    followers: list[Turn[S]] = field(default_factory=list)
    """The calls that go on from it."""
    said: tuple[Dialect, bytes] | None = None
    """The reply's own words, until they are compared with what its agent sends back."""
    last: tuple[Dialect, bytes] | None = None
    """The last message of its request, where it was not answered in full."""

    @property
    def followed(self) -> bool:
        return bool(self.followers)

    @property
    def cut(self) -> bool:
        """It is over, and its reply, if there is one, is not whole."""
        return not (self.open or self.answered)


@dataclass(frozen=True, slots=True)
class Place(Generic[S]):
    """Where a request stands."""

    follows: Turn[S] | None = None
    edge: Edge | None = None


class CallTree(Generic[S]):
    """The calls by what was said in them."""

    __slots__ = ("_broken", "_leaves", "_most", "_replies")

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._broken: dict[bytes, list[Turn[S]]] = {}
        self._leaves: dict[bytes, list[Turn[S]]] = {}
        self._replies: dict[bytes, list[Turn[S]]] = {}
        self._most = most

    def find(self, dialect: Dialect, path: Sequence[bytes], messages: Sequence[bytes], thread: str | None) -> Place[S]:
        """Where a request stands whose messages have these nodes.

        `path` may begin with more nodes than there are messages: what was said before the first of them.
        """
        before = len(path) - len(messages)
        for at in range(len(path) - 1, -1, -1):
            turns = self._replies.get(path[at])
            after = messages[max(0, at + 1 - before) :]
            if turns is not None:
                turn = _preferred(turns, thread)
                again = messages[at - before] if at >= before else None
                told = _retold([*self.same(turn.leaf), turn], dialect, after, thread) if turn.cut else None
                return told or Place(turn, _edge(turn, dialect, again))
            turns = self._leaves.get(path[at]) if after else None
            if turns is not None:
                return _retold(turns, dialect, after, thread) or Place(
                    _preferred(turns, thread), _passing(dialect, after)
                )
            if at >= before and (
                cut := self._longer(path[at - 1] if at else b"", dialect, messages[at - before], thread)
            ):
                return Place(cut, _passing(dialect, after))
        return Place()

    def _longer(self, before: bytes, dialect: Dialect, message: bytes, thread: str | None) -> Turn[S] | None:
        """The call without a whole reply whose last message is the beginning of this one: some agents put what they say
        next into the message that was not answered."""
        for turn in reversed(self._broken.get(before, ())):
            if turn.thread == thread and turn.cut and turn.last is not None and _is_longer(turn.last, dialect, message):
                return turn
        return None

    def same(self, leaf: bytes | None) -> Sequence[Turn[S]]:
        """The calls that were asked the same, the oldest first."""
        return self._leaves.get(leaf, ()) if leaf is not None else ()

    def given(self, reply: bytes) -> Sequence[Turn[S]]:
        """The calls that were answered with this."""
        return self._replies.get(reply, ())

    def add(self, turn: Turn[S], place: Place[S]) -> None:
        """A call begins."""
        if place.follows is not None:
            place.follows.followers.append(turn)
        if turn.leaf is not None:
            self._make_room()
            self._leaves.setdefault(turn.leaf, []).append(turn)

    def replied(self, turn: Turn[S], reply: bytes, dialect: Dialect | None = None, message: bytes = b"") -> None:
        """A call's reply is there, or as much of it as came."""
        turn.reply = reply
        if dialect is not None:
            turn.said = dialect, message
        self._replies.setdefault(reply, []).append(turn)

    def broke_off(self, turn: Turn[S], before: bytes | None, dialect: Dialect, last: bytes) -> None:
        """A call is over without a whole reply. `last`: the last message of its request, which follows `before`."""
        turn.last = dialect, last
        self._broken[before or b""] = [*self._broken.pop(before or b"", ())[1 - MOST_BROKEN :], turn]
        while len(self._broken) > self._most:
            del self._broken[next(iter(self._broken))]

    def take(self, other: CallTree[S]) -> None:
        """Take in the calls of another tree."""
        theirs = (other._leaves, other._replies, other._broken)
        for mine, its in zip((self._leaves, self._replies, self._broken), theirs, strict=True):
            for node, turns in its.items():
                mine.setdefault(node, []).extend(turns)

    def clear(self) -> None:
        """Forget all of it."""
        for known in (self._leaves, self._replies, self._broken):
            known.clear()

    def forget(self, sessions: Iterable[S]) -> None:
        """Forget the calls of sessions that are over."""
        gone = set(map(id, sessions))
        for known in (self._leaves, self._replies, self._broken):
            for node, turns in list(known.items()):
                left = [turn for turn in turns if id(turn.session) not in gone]
                if left:
                    known[node] = left
                else:
                    del known[node]

    def _make_room(self) -> None:
        for name in ("_leaves", "_replies"):
            known: dict[bytes, list[Turn[S]]] = getattr(self, name)
            if len(known) >= self._most:
                setattr(self, name, dict(islice(known.items(), self._most // 2, None)))


def _preferred(turns: Sequence[Turn[S]], thread: str | None) -> Turn[S]:
    return max(enumerate(turns), key=lambda it: (it[1].thread == thread, not it[1].followed, it[0]))[1]


def _edge(turn: Turn[S], dialect: Dialect, again: bytes | None) -> Edge:
    """`again`: how the reply came back; None where it was meant by its name."""
    if turn.said is None or again is None:
        return "exact"
    told, said = turn.said
    if again == said:
        turn.said = None  # who sends a reply back as it was sends it so again
        return "exact"
    try:
        lost = bool(told.normal(said).reasoning) and not dialect.normal(again).reasoning
    except BadBody:
        return "exact"
    return "without_reasoning" if lost else "exact"


def _retold(turns: Sequence[Turn[S]], dialect: Dialect, after: Sequence[bytes], thread: str | None) -> Place[S] | None:
    """The place of a request in which these messages, which nobody said so, come after the beginning that it shares
    with these calls: it follows the one whose reply is most like the last reply among them. None: none of them is."""
    replies = (_read_reply(dialect, raw) for raw in reversed(after[-_LATELY:]))
    again = next((said for said in replies if said is not None), None)
    if again is None:
        return None
    meant: dict[int, list[tuple[Turn[S], Edge]]] = {0: []}
    for turn in _family(turns):
        said = _read_reply(*turn.said) if turn.said is not None else None
        if said is not None and (alike := likeness(said, again)):
            meant.setdefault(alike, []).append((turn, retold(said, again)))
    edges = dict(meant[max(meant)])
    return Place(turn := _preferred(list(edges), thread), edges[turn]) if edges else None


def _family(turns: Sequence[Turn[S]]) -> Iterable[Turn[S]]:
    """Calls, and those that go on from them: a few, the newest last."""
    found = dict.fromkeys(turns[-_LATELY:])
    for turn in turns[-_LATELY:]:
        found |= dict.fromkeys(turn.followers[-_LATELY:])
    return found


def _passing(dialect: Dialect, after: Sequence[bytes]) -> Edge:
    """The edge to a call whose reply does not come next, where these messages do."""
    return "rewritten" if after and _read_reply(dialect, after[0]) is not None else "none"


def _is_longer(last: tuple[Dialect, bytes], dialect: Dialect, message: bytes) -> bool:
    """Whether a message begins with all blocks of another, and says more."""
    try:
        old, new = last[0].normal(last[1]), dialect.normal(message)
    except BadBody:
        return False
    said = len(old.blocks)
    return new.role != "assistant" and len(new.blocks) > said > 0 and new.blocks[:said] == old.blocks


def _read_reply(dialect: Dialect, message: bytes) -> Message | None:
    """A message in normal form, if it is a model's."""
    try:
        said = dialect.normal(message)
    except BadBody:
        return None
    return said if said.role == "assistant" else None
