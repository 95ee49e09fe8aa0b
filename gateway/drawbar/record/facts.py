"""Many sessions at once, and of each no more than what most readers of many need: who it was, how its calls hang
together, and the messages on the way to its last answer.

`Store.trajectory` reads one session and all about it, which takes a hundred times as long. What is told here is what
the rows say; nothing is judged, and no message is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec
from sqlalchemy import Connection, Select, bindparam, case, literal_column, select
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
    reply_body: bytes | None
    tools: bytes | None
    request_envelope: bytes | None
    status: str
    thread: str | None
    purpose: str | None
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
            for row in map(CallFacts._make, rows("call", sessions)):
                found[row.session].append(row)
        for calls in found.values():
            calls.sort(key=_place)
        return found

    def scores(self, sessions: Sequence[str]) -> dict[str, list[ScoreFacts]]:
        """The newest scores of these sessions, by session."""
        found = defaultdict[str, list[ScoreFacts]](list)
        with self._reading() as rows:
            for row in map(ScoreFacts._make, rows("score", sessions)):
                found[row.session].append(row)
        return found

    def blobs(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """These bodies, as far as there are any."""
        with self._reading() as rows:
            return {name: self.unpacked(body) for name, body in rows("blob", list(digests))}

    def nodes(
        self, leaves: Sequence[bytes], known: Container[bytes] = (), *, beginnings: Sequence[bytes] = (), about: int = 0
    ) -> dict[bytes, NodeFacts]:
        """The messages on the way from these up to their roots, or to what is known already; there may be others.

        Args:
            leaves: where to begin.
            known: messages that are not wanted.
            beginnings: messages near the roots. With them, and with `about` how many there are on all of the ways,
                messages that were written together are read together, which is several times faster.
        """
        found: dict[bytes, NodeFacts] = {}
        with self._reading() as rows:
            if about and beginnings and leaves and (span := self._span(rows, [*beginnings, *leaves], about)):
                found |= {row[0]: row for row in rows("span", span)}
            level = [id for id in dict.fromkeys(leaves) if id not in known]
            while level:
                found |= {row[0]: row for row in rows("node", [id for id in level if id not in found])}
                above = dict.fromkeys([found[id][1] for id in level if id in found])
                level = [id for id in above if id is not None and id not in known]
        return found

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


def _place(call: CallFacts) -> tuple[int, str]:
    return call.seq, call.id


def _of_sessions() -> tuple[Select[Any], Any]:
    session, summary = schema.session, schema.summary
    own = (
        "id run environment environment_version task_key task_hash task rollout attempt harness model origin metadata "
        "status stop started ended"
    ).split()
    columns = [session.c[name] for name in own]
    query = select(*columns, case((valid(), 1), else_=0), summary.c.findings, summary.c.upstreams)
    return query.select_from(SESSIONS), session.c.id


def _of(table: Any, key: str, names: Iterable[str]) -> Callable[[], tuple[Select[Any], Any]]:
    return lambda: (select(*(table.c[name] for name in names)), table.c[key])


_QUERIES: Final[Mapping[str, Callable[[], tuple[Select[Any], Any]]]] = {
    "session": _of_sessions,
    "call": _of(schema.call, "session", CallFacts._fields),
    "score": _of(schema.newest_score, "session", ScoreFacts._fields),
    "node": _of(schema.node, "id", ("id", "parent", "dialect", "body")),
    "place": lambda: (select(literal_column("rowid")).select_from(schema.node), schema.node.c.id),
    "blob": _of(schema.blob, "digest", ("digest", "body")),
}
