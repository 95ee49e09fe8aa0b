"""Rows into the store: one compiled statement per table, run through the driver's own cursor.

SQLAlchemy Core writes the SQL, once per dialect; executing it through Core would cost ten times what the driver needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

from msgspec import structs
from sqlalchemy import Column, Delete, LargeBinary, Table, bindparam, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.dml import Insert

from drawbar.record import schema
from drawbar.record.codec import Packer
from drawbar.record.derived import Derived
from drawbar.record.rows import (
    AnswerRow,
    BlobRow,
    CallRow,
    HealthRow,
    KeyUseRow,
    LiveScoringRow,
    NodeRow,
    Row,
    ScoreRow,
    SessionRow,
    SummaryRow,
    ToolCallRow,
)

_WRITTEN_ONCE: Final = (BlobRow, NodeRow, ScoreRow, AnswerRow)


class Cursor(Protocol):
    """What is used of a DBAPI cursor."""

    @property
    def rowcount(self) -> int: ...

    def executemany(self, statement: str, parameters: Sequence[tuple[Any, ...]], /) -> Any: ...


class Statements:
    """The SQL for one database, and the way from rows to its parameters. For one thread at a time."""

    def __init__(self, dialect: Dialect) -> None:
        self._pack = Packer()
        self._writes = {kind: _compile(_write(kind, table, dialect), dialect) for kind, table in schema.TABLES.items()}
        self._derived = Derived(dialect)
        self._keep_reply = _compile(_blob_unless_node_holds_it(dialect), dialect)
        self._hold = {
            NodeRow: _compile(_take_out(schema.loose_node.c.id), dialect),
            BlobRow: _compile(_take_out(schema.loose_blob.c.digest), dialect),
        }
        self._packed = {
            kind: [table.columns.keys().index(name) for name in schema.PACKED.get(table, ())]
            for kind, table in schema.TABLES.items()
        }

    def run(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        """Write the rows; of several with one identity the last counts. The caller begins and commits.

        Each table's rows go in the order of their keys, so that two writers at work on one database never wait for each
        other in a circle.
        """
        groups = _grouped(rows)
        for kind, statement in self._writes.items():
            group = groups.get(kind)
            if not group:
                continue
            cursor.executemany(statement, [self._parameters(group[key]) for key in sorted(group)])
            new = cursor.rowcount
            if kind in self._hold and new != len(group):
                # Some were there before. Whoever deletes may have found that nobody needs them: from now on, we do.
                cursor.executemany(self._hold[kind], [(key,) for key in sorted(group)])
            if kind is NodeRow and not new == len(group) == sum(type(row) is NodeRow for row in rows):
                # Some nodes were there before, or come twice: they may hold other bodies than these rows' replies.
                self._keep_replies(cursor, rows)
        self._derived.follow(cursor, groups.get(SessionRow, {}).values(), groups.get(ScoreRow, {}).values())

    def _keep_replies(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        said = {(row.said, row.id): self._pack(row.body) for row in rows if type(row) is NodeRow and row.said}
        if said:
            parameters = [(name, body, node, body) for (name, node), body in sorted(said.items())]
            cursor.executemany(self._keep_reply, parameters)
            if cursor.rowcount != len(parameters):
                cursor.executemany(self._hold[BlobRow], [(name,) for name, *_ in parameters])

    def _parameters(self, row: Row) -> tuple[Any, ...]:
        if type(row) is NodeRow:
            return (row.id, row.parent, row.depth, row.dialect, self._pack(row.body))
        values = structs.astuple(row)
        packed = self._packed[type(row)]
        if not packed:
            return values
        fields = list(values)
        for index in packed:
            if fields[index] is not None:
                fields[index] = self._pack(fields[index])
        return tuple(fields)


def _grouped(rows: Sequence[Row]) -> dict[type[Row], dict[Any, Row]]:
    """The rows by kind and identity, the last of each."""
    groups: dict[type[Row], dict[Any, Row]] = {}
    for row in rows:
        groups.setdefault(type(row), {})[identity(row)] = row
    return groups


def identity(row: Row) -> Any:
    """What a row is told from others of its kind by."""
    if type(row) is BlobRow:
        return row.digest
    if type(row) in (HealthRow, SummaryRow):
        return row.session  # type: ignore[union-attr]  # these kinds have one
    if type(row) in (CallRow, ToolCallRow, ScoreRow):
        return (row.session, row.id)  # type: ignore[union-attr]  # the kinds that have a session
    if type(row) is AnswerRow:
        return (row.name, row.call)
    if type(row) is LiveScoringRow:
        return (row.session, row.rubric)
    if type(row) is KeyUseRow:
        return (row.key, row.period, row.gateway)
    return row.id  # type: ignore[union-attr]  # every kind but blobs


def _insert(table: Table, dialect: Dialect) -> sqlite.Insert:
    # Both dialects' inserts know ON CONFLICT in the same words; the common one does not.
    return cast(sqlite.Insert, postgresql.insert(table)) if dialect.name == "postgresql" else sqlite.insert(table)


def _write(kind: type[Row], table: Table, dialect: Dialect) -> Insert:
    """Insert a whole row; where its key exists, replace the other columns (or leave what is written once)."""
    insert = _insert(table, dialect)
    key = list(table.primary_key.columns)
    if kind in _WRITTEN_ONCE:
        return insert.on_conflict_do_nothing(index_elements=key)
    rest = {c.name: insert.excluded[c.name] for c in table.columns if not c.primary_key}
    return insert.on_conflict_do_update(index_elements=key, set_=rest)


def _blob_unless_node_holds_it(dialect: Dialect) -> Insert:
    """Keep a reply's own words, if the node does not: parameters are digest, body, node id, body."""
    node, blob = schema.node, schema.blob
    body = bindparam("body", type_=LargeBinary)
    held = exists().where(node.c.id == bindparam("node", type_=LargeBinary), node.c.body == body)
    said = select(bindparam("digest", type_=LargeBinary), body).where(~held)
    insert = _insert(blob, dialect)
    insert = insert.from_select(["digest", "body"], said)
    return insert.on_conflict_do_nothing(index_elements=[blob.c.digest])


def _take_out(key: Column[Any]) -> Delete:
    """Take what is written again out of what perhaps nobody needs."""
    return delete(key.table).where(key == bindparam("key", type_=LargeBinary))


def _compile(statement: Insert | Delete, dialect: Dialect) -> str:
    """The SQL with positional parameters, in the order of the columns."""
    return str(statement.compile(dialect=dialect))
