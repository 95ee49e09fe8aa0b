"""Which call goes on from which: the tree of the calls of a session, or of many. Pure; it knows messages by node.

A call follows the one whose request is the longest known beginning of its own. That the reply comes next is not asked
for, since agents leave reasoning out of what they send back, or say a reply in other words: how much of it is there
labels the edge. Where several calls had the same request (parallel agents that begin alike, a repetition), the one
whose reply comes next is followed; of several, one of the same thread, and the one that it is likeliest (`_likely`).

What comes next may be a reply in other words: an agent that was cut off joins what it had to what came then, another
one tells tool calls as text. Then the message is compared with the replies that may be meant; only then is any of them
read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from drawbar.record.retelling import is_telling, likeness, retold
from drawbar.wire.dialect import BadBody, Dialect
from drawbar.wire.message import Message
from drawbar.wire.speaker import may_be_models

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
    words: int | None = None
    """What is the same for the same reply wherever it stands."""
    open: bool = True
    """It is under way."""
    answered: bool = False
    followers: list[Turn[S]] = field(default_factory=list)
    """The calls that go on from it."""
    said: tuple[Dialect, bytes] | None = None
    """The reply's own words, until they are compared with what its agent sends back."""
    last: tuple[Dialect, bytes] | None = None
    """The last message of its request, where it was not answered in full."""
    begun: tuple[Dialect, bytes] | None = None
    """The same, where it is a model's: the beginning of the reply, which then comes back as one with it."""

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

    __slots__ = ("_broken", "_leaves", "_most", "_replies", "_words")

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._broken: dict[bytes, list[Turn[S]]] = {}
        self._leaves: dict[bytes, list[Turn[S]]] = {}
        self._replies: dict[bytes, list[Turn[S]]] = {}
        self._words: dict[int, list[Turn[S]]] = {}
        self._most = most

    def find(self, dialect: Dialect, path: Sequence[bytes], messages: Sequence[bytes], thread: str | None) -> Place[S]:
        """Where a request stands whose messages have these nodes.

        `path` may begin with more nodes than there are messages: what was said before the first of them.
        """
        before = len(path) - len(messages)
        for at in range(len(path) - 1, -1, -1):
            turns = self._replies.get(path[at])
            if turns is not None:
                turn = _preferred(turns, thread, path[-1])
                told = None
                if turn.cut or turn.followed:  # what comes next may be known too, in other words or places
                    told = self._retold([*self.same(turn.leaf), turn], dialect, messages[at + 1 - before :], thread)
                again = messages[at - before] if at >= before else None
                return told or Place(turn, _edge(turn, dialect, again))
            turns = self._leaves.get(path[at]) if at < len(path) - 1 else None
            if turns is not None:
                after = messages[max(0, at + 1 - before) :]
                told = self._retold(turns, dialect, after, thread)
                return told or Place(_preferred(turns, thread), _passing(dialect, after))
            if at >= before and (
                cut := self._longer(path[at - 1] if at else b"", dialect, messages[at - before], thread)
            ):
                return Place(cut, _passing(dialect, messages[at + 1 - before :]))
        return self._known(dialect, messages, thread) or Place()

    def _retold(
        self, turns: Sequence[Turn[S]], dialect: Dialect, after: Sequence[bytes], thread: str | None
    ) -> Place[S] | None:
        """The place of a request in which these messages come after a beginning that it shares with these calls."""
        return (
            _most_like(turns, dialect, after, thread)
            or _led(turns, dialect, after, thread)
            or self._known(dialect, after, thread)
        )

    def _known(self, dialect: Dialect, messages: Sequence[bytes], thread: str | None) -> Place[S] | None:
        """The place of a request that begins as none does, but says replies that were given: its history was written
        anew."""
        for at in range(len(messages) - 1, max(-1, len(messages) - 1 - _LATELY), -1):
            said = _read_reply(dialect, messages[at])
            turns = self._words.get(_words(dialect, messages[at])) if said is not None and is_telling(said) else None
            if turns is not None:
                led = _led(turns, dialect, messages[at + 1 :], thread)
                return led or Place(_preferred(turns, thread), "rewritten")
        return None

    def _longer(self, before: bytes, dialect: Dialect, message: bytes, thread: str | None) -> Turn[S] | None:
        """The call without a whole reply whose last message is the beginning of this one: some agents put what they say
        next into the message that was not answered."""
        for turn in reversed(self._broken.get(before, ())):
            if turn.thread == thread and turn.cut and turn.last is not None and _is_longer(turn.last, dialect, message):
                return turn
        return None

    def lacks_reply(self, dialect: Dialect, path: Sequence[bytes], messages: Sequence[bytes]) -> bool:
        """Whether a model's words come in these messages after all that is known here: elsewhere, they may be."""
        before = len(path) - len(messages)
        for at in range(len(path) - 1, -1, -1):
            if path[at] in self._replies or path[at] in self._leaves:
                return False
            if at >= before and begins_reply(dialect, messages[at - before]):
                return True
        return False

    def same(self, leaf: bytes | None) -> Sequence[Turn[S]]:
        """The calls that were asked the same, the oldest first."""
        return self._leaves.get(leaf, ()) if leaf is not None else ()

    def given(self, reply: bytes) -> Sequence[Turn[S]]:
        """The calls that were answered with this."""
        return self._replies.get(reply, ())

    def is_taken(self, turn: Turn[S], leaf: bytes | None) -> bool:
        """Whether a request with this last message goes on from a call that another one has gone on from already, and
        is not that one again after a failure."""
        return turn.followed and _likely(turn, leaf) < 4

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
            turn.words = _words(dialect, message)
            self._words.setdefault(turn.words, []).append(turn)
        self._replies.setdefault(reply, []).append(turn)

    def broke_off(self, turn: Turn[S], before: bytes | None, dialect: Dialect, last: bytes) -> None:
        """A call is over without a whole reply. `last`: the last message of its request, which follows `before`."""
        turn.last = dialect, last
        self._broken[before or b""] = [*self._broken.pop(before or b"", ())[1 - MOST_BROKEN :], turn]
        while len(self._broken) > self._most:
            del self._broken[next(iter(self._broken))]

    def take(self, other: CallTree[S]) -> None:
        """Take in the calls of another tree."""
        for mine, its in zip(self._memories, other._memories, strict=True):
            for node, turns in its.items():
                mine.setdefault(node, []).extend(turns)

    def clear(self) -> None:
        """Forget all of it."""
        for known in self._memories:
            known.clear()

    def forget(self, sessions: Iterable[S]) -> None:
        """Forget the calls of sessions that are over."""
        gone = set(map(id, sessions))
        for known in self._memories:
            for node, turns in list(known.items()):
                left = [turn for turn in turns if id(turn.session) not in gone]
                if left:
                    known[node] = left
                else:
                    del known[node]

    @property
    def _memories(self) -> tuple[dict[Any, list[Turn[S]]], ...]:
        return self._leaves, self._replies, self._broken, self._words

    def _make_room(self) -> None:
        growing: Sequence[dict[Any, list[Turn[S]]]] = self._leaves, self._replies, self._words
        for known in growing:
            for old in list(islice(known, self._most // 2)) if len(known) >= self._most else ():
                del known[old]


def _preferred(turns: Sequence[Turn[S]], thread: str | None, leaf: bytes | None = None) -> Turn[S]:
    """`leaf`: the last node of the request that goes on."""
    return max(enumerate(turns), key=lambda it: (it[1].thread == thread, _likely(it[1], leaf), it[0]))[1]


def _likely(turn: Turn[S], leaf: bytes | None) -> int:
    """How likely a request goes on from this call, and not from one that was asked and answered the same."""
    same = [later for later in turn.followers if later.leaf == leaf]
    awaited = all(later.cut for later in turn.followers)
    if same and awaited:  # it failed here, and is asked again
        return 5
    if not turn.followed and not turn.cut:
        return 4
    if any(not later.followed for later in same):  # its answer may have been lost
        return 3
    return 2 if not turn.followed else 1 if awaited else 0


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


def _most_like(
    turns: Sequence[Turn[S]], dialect: Dialect, after: Sequence[bytes], thread: str | None
) -> Place[S] | None:
    """Of calls, and of those that go on from them, the one whose reply is most like the last reply in these messages.
    None: none of them is."""
    replies = (_read_reply(dialect, raw) for raw in reversed(after[-_LATELY:]))
    again = next((said for said in replies if said is not None), None)
    if again is None:
        return None
    meant: dict[int, list[tuple[Turn[S], Edge]]] = {0: []}
    for turn in _family(turns):
        said = _whole(turn)
        if said is not None and (alike := likeness(said, again)):
            direct = (turn.leaf == turns[0].leaf or turn.begun is not None) and not turn.cut
            meant.setdefault(alike, []).append((turn, retold(said, again) if direct else "rewritten"))
    edges = dict(meant[max(meant)])
    return Place(turn := _preferred(list(edges), thread), edges[turn]) if edges else None


def _whole(turn: Turn[S]) -> Message | None:
    """A call's reply, with what its request said of it already."""
    said = _read_reply(*turn.said) if turn.said is not None else None
    begun = _read_reply(*turn.begun) if turn.begun is not None else None
    return said if said is None or begun is None else Message("assistant", (*begun.blocks, *said.blocks))


def _family(turns: Sequence[Turn[S]]) -> Iterable[Turn[S]]:
    """Calls, and those that go on from them: a few, the newest last."""
    found = dict.fromkeys(turns[-_LATELY:])
    for turn in turns[-_LATELY:]:
        found |= dict.fromkeys(turn.followers[-_LATELY:])
    return found


def _led(turns: Sequence[Turn[S]], dialect: Dialect, after: Sequence[bytes], thread: str | None) -> Place[S] | None:
    """The call to which the replies in these messages lead from some others. None: they lead to none further."""
    found: Sequence[Turn[S]] = ()
    for raw in after:
        if _read_reply(dialect, raw) is not None:
            words = _words(dialect, raw)
            found = [next for turn in found or turns for next in turn.followers if next.words == words] or found
    return Place(_preferred(found, thread), "rewritten") if found else None


def _words(dialect: Dialect, reply: bytes) -> int:
    return hash(dialect.canonical(reply))


def begins_reply(dialect: Dialect, last: bytes) -> bool:
    """Whether the last message of a request is a model's, which it is to go on with."""
    return _read_reply(dialect, last) is not None


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
    """A message in normal form, if it is a model's. Most are not, and are not read."""
    if not may_be_models(message):
        return None
    try:
        said = dialect.normal(message)
    except BadBody:
        return None
    return said if said.role == "assistant" else None
