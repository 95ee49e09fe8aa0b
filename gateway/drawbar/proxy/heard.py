"""What the models of live sessions said last: by it a tool call, a sub-agent's first words and a conversation that was
made shorter find the session that they belong to, although nothing names it."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from drawbar.record.arguments import exact, inner_calls
from drawbar.record.join import ID_KEYS
from drawbar.record.names import Names
from drawbar.record.stitching import Turn
from drawbar.sessions import Session
from drawbar.trajectory import Trajectory
from drawbar.wire.dialect import BadBody, Dialect
from drawbar.wire.message import Message, ToolUse

MOST_SESSIONS: Final = 256
MOST_REPLIES: Final = 32
"""That are remembered of each session."""
TELLING: Final = 24
"""Characters from which on a text is taken for nobody else's."""
AT_ONCE: Final = 3.0
"""Seconds within which a reply's tool calls are made. Where several sessions asked for the same call, their agents make
them in the order in which they were asked for; a call that was asked for longer ago may never come."""
LAUNCHING: Final = 30.0
"""Seconds after a tool use in which a sub-agent begins that works on its own: its caller has a result at once."""


@dataclass(slots=True, eq=False)
class Heard:
    """One reply."""

    turn: Turn[Session]
    node: bytes
    text: str
    uses: list[ToolUse]
    """Its tool uses that no call was found for."""
    at: float = field(default_factory=time.monotonic)
    began: list[ToolUse] = field(default_factory=list)
    """Its tool uses that a sub-agent was found for."""
    recalled: bool = False
    """It was another gateway's, which may have been killed before its agent had it."""

    @property
    def likely(self) -> int:
        """How likely its agent still calls what it asks for: 2, it has the reply, and neither went on nor asked the
        same again; 1, it may have been left without the reply; 0, it went on."""
        turn = self.turn
        if turn.followed:
            return 0
        same = turn.session.tree.same(turn.leaf)
        latest = next((later for later in reversed(same) if later.session is turn.session), turn)
        return 2 if turn.answered and not self.recalled and latest is turn else 1


class LastWords:
    """The last replies of the live sessions that spoke last."""

    def __init__(self) -> None:
        self._by_session: OrderedDict[str, tuple[Session, deque[Heard]]] = OrderedDict()

    def note(self, turn: Turn[Session], node: bytes, dialect: Dialect, message: bytes) -> None:
        """A session's model has replied."""
        try:
            said = dialect.normal(message)
        except BadBody:
            return
        self._keep(Heard(turn, node, said.text.strip(), list(said.tool_uses)))

    def recall(self, session: Session, past: Trajectory) -> None:
        """What a session's model said when another gateway had it."""
        called = {call.tool_use_id for call in past.tool_calls}
        for call in past.calls[-MOST_REPLIES:]:
            turns = session.tree.given(call.reply or b"")
            turn = next((turn for turn in turns if turn.call == call.id), None)
            if turn is not None and call.reply is not None and call.message is not None:
                uses = [use for use in call.message.tool_uses if use.id not in called]
                at = time.monotonic() - max(0.0, time.time() - (call.ended or call.started))
                self._keep(Heard(turn, call.reply, call.message.text.strip(), uses, at, recalled=True))

    def _keep(self, heard: Heard) -> None:
        session = heard.turn.session
        known = self._by_session.pop(session.id, None) or (session, deque[Heard](maxlen=MOST_REPLIES))
        known[1].append(heard)
        self._by_session[session.id] = known
        while len(self._by_session) > MOST_SESSIONS:
            self._by_session.popitem(last=False)

    def forget(self, session: Session) -> None:
        self._by_session.pop(session.id, None)

    def opened_by(self, scope: bytes, opening: Sequence[Message], root: bytes | None) -> Session | None:
        """The session that a new conversation belongs to: its first words stand in a tool use that has no result yet,
        or was asked for just now (a sub-agent), or they carry a reply that was to replace what came before it (a
        compaction). `root`: the node of its first message."""
        words = [message.text.strip() for message in opening if message.role == "user"]
        if not any(words):
            return None
        for session, heard in self._newest(scope):
            followed = any(turn.followed for turn in session.tree.given(heard.node))
            quoted = session.cue if root is not None and root == session.root else ""
            use = next((use for use in heard.uses if _begins(use, words, quoted)), None)
            if use is not None and not (followed and (use in heard.began or time.monotonic() - heard.at > LAUNCHING)):
                heard.began.append(use)
                return session
            if (
                not followed
                and len(heard.text) >= TELLING
                and any(heard.text in word and heard.text != word for word in words)
            ):
                return session
        return None

    def claim(self, scope: bytes | None, name: str, arguments: Any, meta: Mapping[str, Any]) -> Session | None:
        """The session whose model asked for this tool call; what was asked for is then spoken for. `scope` None: of any
        client."""
        ids = {meta[key] for key in ID_KEYS if isinstance(meta.get(key), str)}
        found = self._taken(scope, lambda use: use.id in ids) if ids else None
        if found is None:
            names, wanted = Names([name], ()), exact(arguments)
            found = self._taken(scope, lambda use: _asks_for(use, names, wanted))
        return found

    def _taken(self, scope: bytes | None, is_it: Callable[[ToolUse], bool]) -> Session | None:
        """Of those likeliest to call it, who asked first, where they asked just now; else who asked last."""
        found: tuple[Heard, ToolUse] | None = None
        since = time.monotonic() - AT_ONCE
        for session, heard in self._newest(scope):
            if found is not None and heard.at < since and found[0].likely == 2:
                if heard is self._by_session[session.id][1][-1]:
                    break  # all others spoke before
                continue
            use = next((use for use in heard.uses if is_it(use)), None)
            if use is not None and (found is None or _is_rather(heard, found[0], since)):
                found = heard, use
        if found is None:
            return None
        heard, use = found
        heard.uses.remove(use)
        return heard.turn.session

    def _newest(self, scope: bytes | None) -> Iterator[tuple[Session, Heard]]:
        for session, replies in reversed(list(self._by_session.values())):
            if scope in (None, session.scope):
                for heard in reversed(replies):
                    yield session, heard


def _is_rather(one: Heard, other: Heard, since: float) -> bool:
    """Whether this reply, rather than another one, asks for a call that both ask for."""
    if one.likely != other.likely:
        return one.likely > other.likely
    return one.at < other.at if min(one.at, other.at) >= since else one.at > other.at


def _begins(use: ToolUse, words: Sequence[str], quoted: str) -> bool:
    """Whether a tool use holds the first words of a conversation. Not if they are `quoted` from the prompt of one that
    began alike: the same agent at the same task, whose model searches for what it was asked, is no sub-agent."""
    told = (text for text in _texts(use.arguments) if len(text) >= TELLING and text not in quoted)
    return any(text in word for text in told for word in words)


def _asks_for(use: ToolUse, names: Names, arguments: bytes) -> bool:
    """Whether a tool use asks for this call, by itself or through a tool that calls others."""
    if names.may_mean(use.name):
        return exact(use.arguments) == arguments
    return any(exact(given) == arguments for _, given in inner_calls(use.arguments, names.may_mean))


def _texts(value: Any) -> Iterator[str]:
    """The strings in a tool use's arguments."""
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
