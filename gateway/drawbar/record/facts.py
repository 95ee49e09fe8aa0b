"""Many sessions at once, and of each no more than what most readers of many need: who it was, how its calls hang
together, and the messages on the way to its last answer.

`Store.trajectory` reads one session and all about it, which takes a hundred times as long. What is told here is what
the rows say; nothing is judged, and no message is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec
from sqlalchemy import Connection, Select, and_, bindparam, case, literal_column, or_, select
from sqlalchemy.sql.compiler import SQLCompiler

from drawbar.record import schema
from drawbar.record.codec import Unpacker
from drawbar.record.filter import EVERYTHING, Filter
from drawbar.record.filter_columns import valid
from drawbar.record.filter_sql import expression
from drawbar.record.packing import unpacked
from drawbar.record.select import SESSIONS

if TYPE_CHECKING:
    from drawbar.record.store import Store

_SIZES: Final = tuple(1 << power for power in range(10))
"""How many keys a query asks for. Statements of few sizes are made ready once; what is missing is filled up."""
_PROBED: Final = 32
"""Messages by which it is seen whether those of many sessions lie together."""
_DENSE: Final = 1.5
"""How many times as many messages as are wanted may lie among them."""
_SPAN: Final = "SELECT id, parent, dialect, body FROM node WHERE rowid BETWEEN ? AND ?"
"""SQLite alone numbers its rows."""

_Rows: TypeAlias = Callable[[str, Sequence[Any]], Iterable[Any]]
"""Asks for the rows of a kind by their keys."""


class Facts(msgspec.Struct, frozen=True):
    """A session, without what was said in it."""

    id: str
    run: str | None
    environment: str | None
    environment_version: str | None
    task_key: str | None
    task_hash: str | None
    packed_task: bytes | None
    """As it lies in the store; `task` has it plain."""
    rollout: int
    attempt: int
    harness: str | None
    model: str | None
    origin: str
    metadata: bytes
    status: str
    stop: str | None
    started: float
    ended: float | None
    valid: int
    """1 or 0: as the filter's column of that name."""
    packed_findings: str | None
    upstreams: str | None

    @property
    def task(self) -> bytes | None:
        """`Task.to_json()`."""
        return None if self.packed_task is None else Unpacker()(self.packed_task)

    @property
    def findings(self) -> list[str] | None:
        """The names of what is not as it should be; None: nobody has looked yet."""
        return None if self.packed_findings is None else unpacked(self.packed_findings)

    @property
    def models(self) -> list[str]:
        """Where its calls went, as `name/model`; an upstream without a model by its name."""
        names = unpacked(self.upstreams or "")
        return [name for name in names if not any(other.startswith(f"{name}/") for other in names)]


class CallFacts(NamedTuple):
    """A model call: what it was asked with and answered with, by digest."""

    session: str
    id: str
    seq: int
    dialect: str
    request: bytes | None
    reply: bytes | None
    said_apart: bytes | None
    """The reply as it lies in the store (`FactReader.unpacked`), where its node has other words: those of a session
    that said the same before, perhaps after other thoughts."""
    tools: bytes | None
    request_envelope: bytes | None
    plain: int
    """1: it was answered, and is a part of the main conversation; 0."""
    prompt_tokens: int | None
    completion_tokens: int | None


NodeFacts: TypeAlias = tuple[bytes, bytes | None, str, bytes]
"""A message: its id, its parent's, its dialect, and its body as it lies in the store (`FactReader.unpacked`). There are
so many that to name their fields would cost more than to read them."""


class ScoreFacts(NamedTuple):
    """One of a session's newest scores."""

    session: str
    feedback: bool
    name: str
    value: float | None
    weight: float
    rubric_version: str


_as_call: Final = partial(tuple.__new__, CallFacts)
_as_score: Final = partial(tuple.__new__, ScoreFacts)
"""As `_make` does it, in a third of the time."""


class FactReader:
    """Reads pages of sessions. Not to be shared between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.unpacked = Unpacker()
        """From a message's body in the store to the body."""
        self._statements: dict[tuple[str, int], tuple[str, tuple[Any, ...]]] = {}

    def ids(self, filter: Filter = EVERYTHING) -> list[str]:
        """The sessions that a filter means, the oldest first."""
        session = schema.session
        query = select(session.c.id).select_from(SESSIONS).where(expression(filter.condition))
        with self._store.reading() as connection:
            return list(connection.execute(query.order_by(session.c.started, session.c.id)).scalars())

    def sessions(self, ids: Sequence[str]) -> list[Facts]:
        """These sessions, in this order."""
        with self._reading() as rows:
            found = {row[0]: Facts(*row) for row in rows("session", ids)}
        return [found[id] for id in ids if id in found]

    def calls(self, sessions: Sequence[str]) -> dict[str, list[CallFacts]]:
        """The calls of these sessions, by session, in their order."""
        found = defaultdict[str, list[CallFacts]](list)
        with self._reading() as rows:
            for row in map(_as_call, rows("call", sessions)):
                found[row.session].append(row)
        for calls in found.values():
            calls.sort(key=_PLACE)
        return found

    def scores(self, sessions: Sequence[str]) -> dict[str, list[ScoreFacts]]:
        """The newest scores of these sessions, by session."""
        found = defaultdict[str, list[ScoreFacts]](list)
        with self._reading() as rows:
            for row in map(_as_score, rows("score", sessions)):
                found[row.session].append(row)
        return found

    def blobs(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """These bodies, as far as there are any."""
        with self._reading() as rows:
            return {name: self.unpacked(body) for name, body in rows("blob", list(digests))}

    def paths(
        self,
        leaves: Sequence[bytes],
        known: dict[bytes, NodeFacts] | None = None,
        *,
        beginnings: Sequence[bytes] = (),
        about: int = 0,
    ) -> list[list[NodeFacts] | None]:
        """The messages on the way to each of these, the first one first; None where one of them is missing.

        Args:
            leaves: where the ways end.
            known: messages that need not be read. What is read is added, and perhaps others.
            beginnings: messages near the roots. With them, and with `about` how many there are on all of the ways,
                messages that were written together are read together, which is several times faster.
        """
        nodes = {} if known is None else known
        with self._reading() as rows:
            if about and beginnings and leaves and (span := self._span(rows, [*beginnings, *leaves], about)):
                for row in rows("span", span):
                    nodes[row[0]] = row
            ways: list[list[NodeFacts] | None] = [[] for _ in leaves]
            ahead: dict[int, bytes] = dict(enumerate(leaves))
            while ahead := _climb(ways, ahead, nodes):
                for row in rows("node", list(dict.fromkeys(ahead.values()))):
                    nodes[row[0]] = row
                for number, id in list(ahead.items()):
                    if id not in nodes:
                        ways[number] = None
                        del ahead[number]
        for way in ways:
            if way is not None:
                way.reverse()
        return ways

    def _span(self, rows: _Rows, ends: Sequence[bytes], about: int) -> tuple[int, int] | None:
        """From where to where about so many messages lie in the table, if there are few others among them."""
        if self._store.shared:
            return None
        probed = ends[:: max(1, len(ends) // _PROBED)]
        places = [place for (place,) in rows("place", probed)]
        if not places or max(places) - min(places) >= about * _DENSE:
            return None
        return min(places), max(places)

    @contextmanager
    def _reading(self) -> Iterator[_Rows]:
        """What asks for rows of a kind by their keys. The driver is asked without SQLAlchemy between."""
        with self._store.reading() as connection:
            cursor = connection.connection.cursor()

            def rows(kind: str, keys: Sequence[Any]) -> list[Any]:
                if kind == "span":
                    cursor.execute(_SPAN, keys)
                    return list(cursor.fetchall())
                found: list[Any] = []
                for start in range(0, len(keys), _SIZES[-1]):
                    some = keys[start : start + _SIZES[-1]]
                    size = next(size for size in _SIZES if size >= len(some))
                    statement, constants = self._statement(connection, kind, size)
                    cursor.execute(statement, (*constants, *some, *[some[-1]] * (size - len(some))))
                    found += cursor.fetchall()
                return found

            try:
                yield rows
            finally:
                cursor.close()

    def _statement(self, connection: Connection, kind: str, size: int) -> tuple[str, tuple[Any, ...]]:
        """The SQL that asks for so many keys, which are its last parameters, and the parameters before them."""
        made = self._statements.get((kind, size))
        if made is None:
            query, key = _QUERIES[kind]()
            given: list[Any] = [bindparam(f"k{number}", None) for number in range(size)]
            compiled = query.where(key.in_(given)).compile(
                dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
            )
            assert isinstance(compiled, SQLCompiler)
            names = compiled.positiontup or []
            constants = tuple(compiled.params[name] for name in names[: len(names) - size])
            made = self._statements[kind, size] = str(compiled), constants
        return made


def _climb(
    ways: Sequence[list[NodeFacts] | None], ahead: Mapping[int, bytes], nodes: Mapping[bytes, NodeFacts]
) -> dict[int, bytes]:
    """Go on along these ways, from these messages upwards; those that are ahead of the ways that go on beyond what is
    known."""
    missing: dict[int, bytes] = {}
    for number, id in ahead.items():
        way, at = ways[number], id
        assert way is not None
        while (node := nodes.get(at)) is not None:
            way.append(node)
            if (above := node[1]) is None:
                break
            at = above
        else:
            missing[number] = at
    return missing


_PLACE: Final = attrgetter("seq", "id")


def _of_sessions() -> tuple[Select[Any], Any]:
    session, summary = schema.session, schema.summary
    own = (
        "id run environment environment_version task_key task_hash task rollout attempt harness model origin metadata "
        "status stop started ended"
    ).split()
    columns = [session.c[name] for name in own]
    query = select(*columns, case((valid(), 1), else_=0), summary.c.findings, summary.c.upstreams)
    return query.select_from(SESSIONS), session.c.id


def _of_calls() -> tuple[Select[Any], Any]:
    call, blob = schema.call, schema.blob
    of_main = or_(call.c.purpose.is_(None), call.c.purpose == "main")
    plain = and_(call.c.status == "answered", call.c.reply.is_not(None), call.c.thread.is_(None), of_main)
    named = {"said_apart": blob.c.body, "plain": case((plain, 1), else_=0)}
    columns = [named[name] if name in named else call.c[name] for name in CallFacts._fields]
    return select(*columns).select_from(call.outerjoin(blob, blob.c.digest == call.c.reply_body)), call.c.session


def _of(table: Any, key: str, names: Iterable[str]) -> Callable[[], tuple[Select[Any], Any]]:
    return lambda: (select(*(table.c[name] for name in names)), table.c[key])


_QUERIES: Final[Mapping[str, Callable[[], tuple[Select[Any], Any]]]] = {
    "session": _of_sessions,
    "call": _of_calls,
    "score": _of(schema.newest_score, "session", ScoreFacts._fields),
    "node": _of(schema.node, "id", ("id", "parent", "dialect", "body")),
    "place": lambda: (select(literal_column("rowid")).select_from(schema.node), schema.node.c.id),
    "blob": _of(schema.blob, "digest", ("digest", "body")),
}
