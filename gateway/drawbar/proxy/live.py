"""Live sessions: requests that name no session, taken together by who sends them and by what they go on from.

An agent that names its own session has one session here, whatever it says in it. All others are told apart by content:
a request that goes on from a call belongs to that call's session, one that repeats a call which failed does as well,
and every other one begins a session. Clients with different keys never share one. A session that nobody has used for
`idle` seconds is ended, also if it was another gateway that knew it; when its agent comes back, a new one continues it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final, TypeVar

import anyio.to_thread

from drawbar.errors import StoreError, UnknownName
from drawbar.proxy.elsewhere import Elsewhere, taken
from drawbar.proxy.heard import MOST_SESSIONS, TELLING, LastWords
from drawbar.proxy.openings import by_first_words, by_name, cue_of, normal
from drawbar.proxy.registry import Sessions
from drawbar.proxy.settings import Settings
from drawbar.record.graph import SessionGraph
from drawbar.record.placing import Placed, placed
from drawbar.record.replies import Replies
from drawbar.record.stitching import CallTree, Turn
from drawbar.record.store import Store
from drawbar.record.sweeping import REMEMBERED
from drawbar.sessions import Session
from drawbar.wire.dialect import BadBody, Dialect, Request
from drawbar.wire.identity import Identity
from drawbar.wire.message import Message

_log = logging.getLogger(__name__)
T = TypeVar("T")

SHARED: Final = 200_000
"""Messages, and calls, that are remembered of all live sessions of one client that are told apart by content."""
MOST_CLIENTS: Final = 64
"""Whose conversations are remembered at the same time. Of others, the store knows how their sessions began."""
_OPENING: Final = 4
"""Messages at a conversation's beginning that are looked at to see whom it belongs to."""
_PREPARING: Final = 30.0
"""Seconds for which a call that offers no tools may turn out to have been a side call before its conversation."""
_MOST_PREPARING: Final = 64
CHECKED = 5.0
"""Seconds for which a session is taken to be open without asking a store that other gateways use too."""
_TAKING_OVER: Final = 60.0
"""Seconds after which whoever asked a gateway that is no more has asked again."""
_REPEATED: Final = 16
"""Calls that asked the same before among which one is looked for that failed, and is asked again."""
_SWEEP: Final = 15.0
"""Seconds between looks for idle sessions."""
_WAIT: Final = 1.0
"""Seconds for which a tool call waits for the reply that asks for it: some agents call before the reply has ended."""


@dataclass(slots=True)
class _Client:
    """What one client's conversations have said."""

    graph: SessionGraph = field(default_factory=lambda: SessionGraph(SHARED))
    tree: CallTree[Session] = field(default_factory=lambda: CallTree(SHARED))
    replies: Replies = field(default_factory=Replies)
    since: float = field(default_factory=time.time)
    """Since when its graph remembers what is stored."""


class LiveSessions:
    """Finds the session of a request that names none."""

    def __init__(
        self, sessions: Sessions, store: Store, settings: Settings, end_one: Callable[[str], Awaitable[None]]
    ) -> None:
        """`end_one` ends a session by its id."""
        self._sessions = sessions
        self._store = store
        self.settle(settings)
        self._end_one = end_one
        self._stopping: set[asyncio.Task[None]] = set()
        self._named: dict[tuple[bytes, str, str], Session] = {}
        self._finding: dict[bytes, asyncio.Task[Session | None]] = {}
        self._clients: OrderedDict[bytes, _Client] = OrderedDict()
        self._words = LastWords()
        self._alike = Elsewhere(sessions, store)
        self._preparing: deque[tuple[float, Session]] = deque(maxlen=_MOST_PREPARING)
        self._sweeper: asyncio.Task[None] | None = None
        self._since: float | None = None

    @property
    def took_over(self) -> bool:
        """Whether it was another gateway just now that clients asked, and may not have had an answer of."""
        return self._since is not None and time.monotonic() - self._since < _TAKING_OVER

    async def find(
        self, scope: bytes, identity: Identity | None, dialect: Dialect, request: Request | None
    ) -> tuple[Session, Placed | None]:
        """The session, and where the request stands in it if that was looked up. `scope` tells clients apart; `request`
        None: it cannot be read."""
        there: Placed | None = None
        if identity is not None and identity.session is not None:
            session = await self._by_name(scope, identity.agent, identity.session, identity.parent)
        elif request is None:
            session = self._sessions.begin("content", None, None)
        else:
            agent = identity.agent if identity is not None else None
            session, there = await self._by_content(scope, agent, dialect, request)
        session.scope = scope
        session.belongs_to(scope)
        session.on_reply = self._heard
        session.used = time.monotonic()
        return session, there

    async def claim(self, scope: bytes | None, name: str, arguments: Any, meta: Mapping[str, Any]) -> Session | None:
        """The session whose model asked for this tool call, if there is one. `scope` None: of any client."""
        found = self._words.claim(scope, name, arguments, meta)
        busy = [s for s in self._sessions if s.live and s.in_flight and scope in (None, s.scope)] if not found else []
        if busy:
            waiting = [asyncio.create_task(session.idle.wait()) for session in busy]
            await asyncio.wait(waiting, timeout=_WAIT, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            found = self._words.claim(scope, name, arguments, meta)
        return found

    def _heard(self, turn: Turn[Session], node: bytes, dialect: Dialect, message: bytes) -> None:
        session = turn.session
        stops = self._stop_tools if turn.answered else frozenset[str]()
        if stops and any(_stops(use.name, stops) for use in normal(dialect, message).tool_uses):
            task = asyncio.create_task(self._stop(session))
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)
        self._words.note(turn, node, dialect, message)
        if session.row.origin == "content" and session.row.key_digest is None:
            session.name(by_first_words(session.scope, session.cue, dialect, message))

    async def _by_name(self, scope: bytes, agent: str, name: str, parent: str | None) -> Session:
        """The session that an agent calls so, or one of whose threads it calls so: then `parent` began it."""
        names = [name, parent] if parent is not None else [name]
        for known in names:
            session = self._named.get((scope, agent, known))
            if session is not None and session.stop is None and await self._goes_on(session):
                break
        else:
            session = None
            for known in reversed(names):
                session = session or await self._again(by_name(scope, agent, known))
            session = session or self._named.get((scope, agent, name))  # meanwhile
            if session is None or session.stop is not None:
                session = self._sessions.begin("identity", by_name(scope, agent, name), agent)
                session.label({"session": name})
        self._named[scope, agent, name] = session
        return session

    async def _by_content(
        self, scope: bytes, agent: str | None, dialect: Dialect, request: Request
    ) -> tuple[Session, Placed | None]:
        client = self._client(scope)
        try:
            there = placed(dialect, request, client.graph, client.replies)
        except BadBody:
            return self._sessions.begin("content", None, agent), None
        session = _continued(client.tree, dialect, there)
        if session is not None and not await self._caught_up(session, client, dialect, there):
            session = _continued(client.tree, dialect, there)
        if session is None:
            opening = [normal(dialect, message) for message in there.messages[:_OPENING]]
            session = await self._from_store(scope, dialect, opening, there) or self._opened_by(scope, opening, there)
        if session is not None and session.row.origin == "content" and session.stop is None and self._store.shared:
            self._share(session, client)
            session = await self._elsewhere(session, client, dialect, there)
        if session is None or session.stop is not None:
            over = session.row if session is not None else None
            cue = cue_of(normal(dialect, there.messages[-1])) if there.messages else ""
            session = self._prepared(scope, cue, there) if request.tools is not None and over is None else None
            session = session or self._sessions.begin("content", None, agent, continues=over)
            if request.tools is None:
                self._preparing.append((time.monotonic(), session))
            session.cue = cue
            session.root = there.path[0] if there.path else None
        if session.row.origin != "content":  # it has a memory of its own
            return session, None
        self._share(session, client)
        return session, there

    async def _goes_on(self, session: Session) -> bool:
        """Whether no other gateway has ended a session; asked now and then, where there may be others."""
        if not self._store.shared or time.monotonic() - session.checked < CHECKED:
            return True
        return await self._told(self._sessions.still_open(session), True)

    async def _caught_up(self, session: Session, client: _Client, dialect: Dialect, there: Placed) -> bool:
        """Whether a session is as this gateway knows it; if not, it does now."""
        fresh = await self._goes_on(session)
        if fresh and session.stop is None and client.tree.lacks_reply(dialect, there.path, there.messages):
            fresh = not await self._told(self._sessions.refresh(session), False)
        if session.stop is not None:
            client.tree.forget((session,))
        return fresh

    async def placed(self, session: Session, dialect: Dialect, request: Request) -> Placed | None:
        """Where a request stands in a session that was found by a name, once this gateway knows as much of it as the
        request does. None: it cannot be read."""
        try:
            there = placed(dialect, request, session.graph, session.replies)
            unknown = request.previous is not None and there.known is None
            lacks = unknown or session.tree.lacks_reply(dialect, there.path, there.messages)
            if lacks and await self._told(self._sessions.refresh(session), False) and unknown:
                again = placed(dialect, request, session.graph, session.replies)
                there = replace(again, rows=[*there.rows, *again.rows])
        except BadBody:
            return None
        return there

    def _prepared(self, scope: bytes, cue: str, there: Placed) -> Session | None:
        """The session of a call just now, without tools and alone, that was about these words: which model is to have
        them, say. What it prepared begins it."""
        for began in list(self._preparing):
            at, session = began
            fits = session.scope == scope and session.calls == 1 and session.stop is None
            about = cue == session.cue or (len(cue) >= TELLING and cue in session.cue)
            if fits and about and session.root != there.path[0] and time.monotonic() - at < _PREPARING:
                self._preparing.remove(began)
                session.forget_name()
                return session
        return None

    def _opened_by(self, scope: bytes, opening: list[Message], there: Placed) -> Session | None:
        return self._words.opened_by(scope, opening, there.path[0] if there.path else None)

    async def _from_store(
        self, scope: bytes, dialect: Dialect, opening: list[Message], there: Placed
    ) -> Session | None:
        """The session that this conversation began in, before this gateway or this memory of it did."""
        for at, (cue, said) in enumerate(pairwise(opening), start=1):
            if said.role == "assistant":
                found = await self._again(by_first_words(scope, cue_of(cue), dialect, there.messages[at]), there.path)
                if found is not None:
                    return found
        return None

    async def _elsewhere(self, session: Session, client: _Client, dialect: Dialect, there: Placed) -> Session:
        """The session that is meant, where other gateways may have some that are just like this one."""
        tree = client.tree
        if tree.lacks_reply(dialect, there.path, there.messages):
            opening = [normal(dialect, raw) for raw in there.messages[:_OPENING]]
            self._share(await self._from_store(session.scope, dialect, opening, there), client)
            session = _continued(tree, dialect, there) or session
        now = taken(tree, dialect, there) is not None
        if not await self._told(self._alike.has_alike(session, now=now), False):
            return session
        async with self._alike.in_turn(session):
            await self._told(self._alike.refresh(tree, dialect, there), None)
            name = session.row.key_digest or b""
            self._share(await self._told(self._alike.other(name, tree, dialect, there), None), client)
            return _continued(tree, dialect, there) or session

    def _share(self, session: Session | None, client: _Client) -> None:
        """Let a session that is known by its content have the memory of all its client's."""
        if session is not None and session.row.origin == "content" and session.tree is not client.tree:
            session.adopt(client.graph, client.tree, client.replies)

    async def _again(self, name: bytes, path: Sequence[bytes] = ()) -> Session | None:
        """Look into the store; requests that ask at once share one look."""
        what = name + (path[-1] if path else b"")
        task = self._finding.get(what)
        if task is None:
            task = self._finding[what] = asyncio.create_task(self._sessions.again(name, path))
            task.add_done_callback(lambda _: self._finding.pop(what, None))
        return await self._told(asyncio.shield(task), None)

    async def _told(self, answer: Awaitable[T], otherwise: T) -> T:
        """What the store says; where it cannot be asked, a best-effort gateway goes on without. Raises `StoreError`."""
        try:
            return await answer
        except StoreError as error:
            if self._must_know:
                raise
            _log.error("The store could not be asked what it knows of a session: %s", error)
            return otherwise

    def _client(self, scope: bytes) -> _Client:
        client = self._clients.pop(scope, None) or _Client()
        if not 0 <= time.time() - client.since < REMEMBERED:  # its first sessions may have been deleted
            client.graph.drop()
            client.since = time.time()
        self._clients[scope] = client
        while len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        return client

    def settle(self, settings: Settings) -> None:
        """From now on, these settings hold."""
        self._idle = settings.live_idle
        self._must_know = settings.recording == "required"
        self._stop_tools, self._stop_grace = settings.stop_tools, settings.stop_grace

    async def start(self) -> None:
        """End what earlier gateways have left open for too long, go on with the rest, and from now on end whatever is
        idle."""
        await self._end_leftovers()
        await self._resume()
        self._sweeper = asyncio.create_task(self._sweep())

    async def _resume(self) -> None:
        """Know what earlier gateways have left open as they knew it: sessions that began alike are told apart by what
        was said in them since, and a tool call may come whose model has asked for it before."""
        found = await self._sessions.resume(time.time() - self._idle, MOST_SESSIONS)
        self._since = time.monotonic() if found else None
        for session, past in found:
            session.scope = session.row.owner or b""
            session.on_reply = self._heard
            session.used -= max(0.0, time.time() - past.calls[-1].started)
            opening = past.path(past.calls[0].request)
            if opening:
                session.cue, session.root = cue_of(opening[-1].message), opening[0].id
            if session.row.origin == "content":
                client = self._client(session.scope)
                session.adopt(client.graph, client.tree, client.replies)
            self._words.recall(session, past)

    async def stop(self) -> None:
        """Stop looking. What is open stays so: the next gateway on this store goes on with it."""
        tasks = [*self._stopping, *([self._sweeper] if self._sweeper is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(self._idle, _SWEEP))
            now = time.monotonic()
            idle = [s for s in self._sessions if s.live and not s.aborts and now - s.used > self._idle]
            await self.end([session for session in idle if not await self._heard_elsewhere(session)])
            await self._end_leftovers()

    async def _heard_elsewhere(self, session: Session) -> bool:
        """Whether a session that is idle here goes on at another gateway."""
        if not self._store.shared or not await self._told(self._sessions.refresh(session), False):
            return False
        session.used = time.monotonic()
        return session.stop is None

    async def _end_leftovers(self) -> None:
        """Sessions of gateways that are no more, on this store."""
        here = {session.id for session in self._sessions}
        rows = await anyio.to_thread.run_sync(self._store.silent_since, time.time() - self._idle)
        await asyncio.gather(*(self._ended(row) for row in rows if row not in here))

    async def end(self, sessions: Sequence[Session]) -> None:
        """End these; when their agents come back, new ones continue them."""
        if not sessions:
            return
        over = set(map(id, sessions))
        for session in sessions:
            self._words.forget(session)
        for name in [name for name, session in self._named.items() if id(session) in over]:
            del self._named[name]
        for client in self._clients.values():
            client.tree.forget(sessions)
        await asyncio.gather(*(self._ended(session.id) for session in sessions))

    async def _stop(self, session: Session) -> None:
        """End a session whose agent has called a tool that means its end, once it has said its last words."""
        await asyncio.sleep(self._stop_grace)
        await session.idle.wait()
        while session.trouble is not None and time.time() - session.touched < self._stop_grace:
            await asyncio.sleep(self._stop_grace)  # what failed is asked again
            await session.idle.wait()
        if session.stop is None:
            await self.end((session,))

    async def _ended(self, id: str) -> None:
        try:
            await self._end_one(id)
        except (StoreError, UnknownName) as error:
            _log.error("The live session %s could not be ended: %s", id, error)


def _continued(tree: CallTree[Session], dialect: Dialect, there: Placed) -> Session | None:
    """The session whose conversation goes on, or whose failed call is repeated."""
    follows = tree.find(dialect, there.path, there.messages, None).follows
    if follows is not None:
        return follows.session
    same = tree.same(there.leaf)[-_REPEATED:]
    served = {turn.session.id for turn in same if not turn.cut}
    failed = (turn for turn in reversed(same) if turn.cut and not turn.followed and turn.session.id not in served)
    return next((turn.session for turn in failed), None)


def _stops(tool: str, names: frozenset[str]) -> bool:
    return tool in names or any(tool.endswith("__" + name) for name in names)
