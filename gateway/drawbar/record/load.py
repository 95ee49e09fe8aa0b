"""From the store's rows to structs again. Knows the tables and how bodies are packed; judges nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import (
    Boolean,
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    bindparam,
    select,
    union,
)
from sqlalchemy.engine.interfaces import DBAPICursor, Dialect

from drawbar.record import schema
from drawbar.record.codec import Unpacker
from drawbar.record.rows import (
    AnswerRow,
    BlobRow,
    CallRow,
    HealthRow,
    KeyRow,
    LiveScoringRow,
    NodeRow,
    RunRow,
    ScoreRow,
    SessionRow,
    SummaryRow,
    ToolCallRow,
)

C = TypeVar("C", CallRow, ToolCallRow)
R = TypeVar(
    "R",
    RunRow,
    SessionRow,
    BlobRow,
    NodeRow,
    CallRow,
    ToolCallRow,
    ScoreRow,
    HealthRow,
    SummaryRow,
    AnswerRow,
    LiveScoringRow,
    KeyRow,
)


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that the store holds of one session."""

    session: SessionRow
    calls: list[CallRow]
    """In the order of their starts, as the tool calls."""
    tool_calls: list[ToolCallRow]
    nodes: dict[bytes, NodeRow]
    """Every message on the way to a request or reply of the calls."""
    blobs: dict[bytes, bytes]
    """The bodies that the calls name, as far as there are any."""
    scores: list[ScoreRow]


def structs(connection: Connection, kind: type[R], query: Select[Any]) -> Iterator[R]:
    """The rows that a query over a kind's whole table finds."""
    return _structs(kind, connection.execute(query))


def _structs(kind: type[R], found: Iterable[Sequence[Any]]) -> Iterator[R]:
    names, packed, flags = _shape(kind)
    unpack = Unpacker()
    for values in found:
        fields = dict(zip(names, values, strict=True))
        for name in packed:
            if fields[name] is not None:
                fields[name] = unpack(fields[name])
        for name in flags:
            fields[name] = bool(fields[name])  # SQLite's are numbers
        yield kind(**fields)


@cache
def _shape(kind: type[Any]) -> tuple[list[str], Sequence[str], list[str]]:
    """A kind's columns, and which of them are packed bodies and which are flags."""
    table = schema.TABLES[kind]
    flags = [column.name for column in table.columns if isinstance(column.type, Boolean)]
    return table.columns.keys(), schema.PACKED.get(table, ()), flags


def first(connection: Connection, kind: type[R], condition: ColumnElement[bool]) -> R | None:
    """One row that meets the condition, if any does."""
    return next(structs(connection, kind, select(schema.TABLES[kind]).where(condition).limit(1)), None)


def ids_beginning(connection: Connection, prefix: str) -> list[str]:
    """The ids of runs and sessions that begin so; a few, if there are many."""
    return [
        id
        for table in (schema.run, schema.session)
        for id in connection.execute(
            select(table.c.id).where(table.c.id.startswith(prefix, autoescape=True)).limit(5)
        ).scalars()
    ]


def newest_ids(connection: Connection) -> list[str]:
    """Of the newest runs and sessions, a few."""
    queries = (select(table.c.id).order_by(table.c.started.desc()).limit(3) for table in (schema.run, schema.session))
    return [id for query in queries for id in connection.execute(query).scalars()]


class SessionReader:
    """Reads all of one session. As in writing, SQLAlchemy Core makes the SQL once and the driver runs it."""

    def __init__(self, dialect: Dialect) -> None:
        queries: dict[type[Any], Select[Any]] = {kind: _of_session(kind) for kind in _ORDER}
        queries |= {SessionRow: _itself(), NodeRow: _reachable(), BlobRow: _named()}
        self._queries = {kind: str(query.compile(dialect=dialect)) for kind, query in queries.items()}

    def read(self, connection: Connection, session_id: str) -> Material | None:
        """Everything that the store holds of the session; None if there is no such session."""
        cursor = connection.connection.cursor()
        try:
            found = self._rows(cursor, SessionRow, session_id)
            if not found:
                return None
            return Material(
                session=found[0],
                calls=_in_turn(self._rows(cursor, CallRow, session_id)),
                tool_calls=_in_turn(self._rows(cursor, ToolCallRow, session_id)),
                nodes={node.id: node for node in self._rows(cursor, NodeRow, session_id)},
                blobs={blob.digest: blob.body for blob in self._rows(cursor, BlobRow, session_id)},
                scores=self._rows(cursor, ScoreRow, session_id),
            )
        finally:
            cursor.close()

    def _rows(self, cursor: DBAPICursor, kind: type[R], session: str) -> list[R]:
        cursor.execute(self._queries[kind], (session,) * _PLACES.get(kind, 1))
        return list(_structs(kind, cursor.fetchall()))


def _in_turn(rows: list[C]) -> list[C]:
    """The rows, numbered in their order. Gateways that serve one session at the same time may have given one number
    twice: then the time of the start decides."""
    if len({row.seq for row in rows}) == len(rows):
        return rows
    ordered = sorted(rows, key=lambda row: (row.started, row.id))
    return [msgspec.structs.replace(row, seq=number) for number, row in enumerate(ordered)]


_ORDER: Final[dict[type[Any], tuple[str, str]]] = {
    CallRow: ("seq", "id"),
    ToolCallRow: ("seq", "id"),
    ScoreRow: ("created", "id"),
}
"""The kinds that name their session, and what they are ordered by."""

_LEAVES: Final = ("request", "reply")
_BODIES: Final = ("reply_body", "tools", "request_envelope", "response_envelope")
"""The columns of a call that name nodes and blobs."""

_PLACES: Final[dict[type[Any], int]] = {NodeRow: len(_LEAVES), BlobRow: len(_BODIES)}
"""How often the session stands in a query, if not once."""


def _itself() -> Select[Any]:
    return select(schema.session).where(schema.session.c.id == bindparam("session"))


def _of_session(kind: type[Any]) -> Select[Any]:
    table = schema.TABLES[kind]
    return select(table).where(table.c.session == bindparam("session")).order_by(*(table.c[n] for n in _ORDER[kind]))


def _named_by_calls(columns: Sequence[str]) -> CompoundSelect[Any]:
    call = schema.call
    return union(*(select(call.c[name]).where(call.c.session == bindparam("session")) for name in columns))


def _reachable() -> Select[Any]:
    """The nodes on the way from a root to a request's last message or a reply."""
    node = schema.node
    leaves = select(node.c.id, node.c.parent).where(node.c.id.in_(_named_by_calls(_LEAVES)))
    walk = leaves.cte("walk", recursive=True)
    walk = walk.union(select(node.c.id, node.c.parent).join(walk, node.c.id == walk.c.parent))
    return select(node).join(walk, node.c.id == walk.c.id)


def _named() -> Select[Any]:
    """The blobs that the calls name."""
    return select(schema.blob).where(schema.blob.c.digest.in_(_named_by_calls(_BODIES)))
