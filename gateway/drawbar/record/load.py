"""From the store's rows to structs again. Knows the tables and how bodies are packed; judges nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, select, union

from drawbar.record import schema
from drawbar.record.codec import unpack
from drawbar.record.rows import BlobRow, CallRow, NodeRow, RunRow, ScoreRow, SessionRow, ToolCallRow

R = TypeVar("R", RunRow, SessionRow, BlobRow, NodeRow, CallRow, ToolCallRow, ScoreRow)


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
    table = schema.TABLES[kind]
    names = table.columns.keys()
    packed = schema.PACKED.get(table, ())
    for values in connection.execute(query):
        fields = dict(zip(names, values, strict=True))
        for name in packed:
            if fields[name] is not None:
                fields[name] = unpack(fields[name])
        yield kind(**fields)


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


def material(connection: Connection, session: SessionRow) -> Material:
    """Read one session."""
    calls, tool_calls, scores = schema.call, schema.tool_call, schema.score
    return Material(
        session=session,
        calls=list(
            structs(
                connection,
                CallRow,
                select(calls).where(calls.c.session == session.id).order_by(calls.c.seq, calls.c.id),
            )
        ),
        tool_calls=list(
            structs(
                connection,
                ToolCallRow,
                select(tool_calls)
                .where(tool_calls.c.session == session.id)
                .order_by(tool_calls.c.seq, tool_calls.c.id),
            )
        ),
        nodes={node.id: node for node in structs(connection, NodeRow, _reachable(session.id))},
        blobs={blob.digest: blob.body for blob in structs(connection, BlobRow, _named(session.id))},
        scores=list(
            structs(
                connection,
                ScoreRow,
                select(scores).where(scores.c.session == session.id).order_by(scores.c.created, scores.c.id),
            )
        ),
    )


def _reachable(session: str) -> Select[Any]:
    """The nodes on the way from a root to a request's last message or a reply."""
    node, call = schema.node, schema.call
    leaves = union(*(select(column).where(call.c.session == session) for column in (call.c.request, call.c.reply)))
    walk = select(node.c.id, node.c.parent).where(node.c.id.in_(leaves)).cte("walk", recursive=True)
    walk = walk.union(select(node.c.id, node.c.parent).join(walk, node.c.id == walk.c.parent))
    return select(node).join(walk, node.c.id == walk.c.id)


def _named(session: str) -> Select[Any]:
    """The blobs that a session's calls name."""
    blob, call = schema.blob, schema.call
    columns = (call.c.reply_body, call.c.tools, call.c.request_envelope, call.c.response_envelope)
    return select(blob).where(
        blob.c.digest.in_(union(*(select(column).where(call.c.session == session) for column in columns)))
    )
