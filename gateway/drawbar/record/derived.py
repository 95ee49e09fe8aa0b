"""What is kept beside rows so that sessions are found by it: their newest scores, and what their metadata says.

It follows the rows in their own transaction, so that it is never behind them, and can be made anew from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
from sqlalchemy import (
    Connection,
    Insert,
    Select,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    literal_column,
    select,
    true,
)
from sqlalchemy.engine.interfaces import Dialect

from drawbar.record import health, schema, sums
from drawbar.record.packing import packed
from drawbar.record.rows import Row, ScoreRow, SessionRow
from drawbar.record.summary import upstream_names, weighed
from drawbar.trajectory import Finding

LONGEST: Final = 200
"""Characters of a label's name or value; a longer one is none."""
_DEEPEST: Final = 3
_NUMBER: Final = re.compile(r"-?\d{1,15}(\.\d{1,15})?")
_PAGE: Final = 500


class _Cursor(Protocol):
    """What is used of a DBAPI cursor."""

    def executemany(self, statement: str, parameters: Sequence[tuple[Any, ...]], /) -> Any: ...


class Derived:
    """The SQL that follows rows, for one database."""

    def __init__(self, dialect: Dialect) -> None:
        self._forget_scores = _of_session(schema.newest_score, dialect)
        self._add_scores = str(_adding(_newest(bindparam("session"))).compile(dialect=dialect))
        self._forget_labels = _of_session(schema.label, dialect)
        self._add_labels = str(insert(schema.label).compile(dialect=dialect))

    def follow(self, cursor: _Cursor, sessions: Iterable[Row], scores: Iterable[Row]) -> None:
        """After these rows were written, and before they are committed."""
        scored = sorted({row.session for row in scores if type(row) is ScoreRow})
        if scored:
            given = [(session,) for session in scored]
            cursor.executemany(self._forget_scores, given)
            cursor.executemany(self._add_scores, given)
        written = {row.id: row for row in sessions if type(row) is SessionRow}
        if written:
            cursor.executemany(self._forget_labels, [(session,) for session in sorted(written)])
            found = [label for session in sorted(written) for label in labels(session, written[session].metadata)]
            if found:
                cursor.executemany(self._add_labels, found)


def fill(connection: Connection) -> None:
    """For a store that had none of this, in one go."""
    connection.execute(_adding(_newest(None)))
    session = schema.session
    query = select(session.c.id, session.c.metadata).where(session.c.metadata != b"{}")
    for page in _pages(connection, query):
        found = [label for id, metadata in page for label in labels(id, metadata)]
        if found:
            names = schema.label.columns.keys()
            connection.execute(insert(schema.label), [dict(zip(names, label, strict=True)) for label in found])
    columns = [sums.added_up(name).label(name) for name in sums.NAMES]
    looked_at = select(session.c.id, schema.health.c.findings, schema.health.c.created, *columns)
    for page in _pages(connection, looked_at.join(schema.health, schema.health.c.session == session.c.id)):
        calls = _calls(connection, [row.id for row in page])
        connection.execute(insert(schema.summary), [_summary(row, calls.get(row.id, [])) for row in page])


def _pages(connection: Connection, query: Select[Any]) -> Iterator[Sequence[Any]]:
    """The rows of a query over sessions, so many at a time, in the order of their ids."""
    last = ""
    while page := connection.execute(
        query.where(schema.session.c.id > last).order_by(schema.session.c.id).limit(_PAGE)
    ).all():
        yield page
        last = page[-1].id


def _calls(connection: Connection, sessions: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """The model and upstream of each session's calls, in their order."""
    call = schema.call
    query = select(call.c.session, call.c.model, call.c.upstream).where(call.c.session.in_(sessions))
    found: dict[str, list[tuple[str, str]]] = {}
    for session, model, upstream in connection.execute(query.order_by(call.c.seq, call.c.id)):
        found.setdefault(session, []).append((model, upstream))
    return found


def _summary(row: Any, calls: Sequence[tuple[str, str]]) -> dict[str, Any]:
    findings: list[Finding] = health.from_json(row.findings)
    return {
        "session": row.id,
        **{name: getattr(row, name) for name in sums.NAMES},
        "model": calls[0][0] if calls else None,
        "upstreams": packed(name for _, upstream in calls for name in upstream_names(upstream)),
        "health": weighed(findings),
        "findings": packed(finding.name for finding in findings),
        "created": row.created,
    }


def labels(session: str, metadata: bytes) -> list[tuple[str, str, str, float | None]]:
    """A session's rows in `label`. What is no JSON object, and what is too long or too deep, has none."""
    if metadata == b"{}":
        return []
    try:
        value = orjson.loads(metadata)
    except ValueError:
        return []
    found = {pair: None for pair in plain_values(value) if len(pair[0]) <= LONGEST and len(pair[1]) <= LONGEST}
    return [(session, name, text, _number(text)) for name, text in sorted(found)]


def plain_values(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The names and values in an object: of an object inside it as `outer.inner`, of a list once for each item."""
    if isinstance(value, Mapping) and depth < _DEEPEST:
        for key, inner in value.items():
            yield from plain_values(inner, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list):
        for item in value:
            if not isinstance(item, Mapping | list):
                yield from plain_values(item, name, depth)
    elif name and value is not None and not isinstance(value, Mapping):
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        yield _storable(name), _storable(text)


def _storable(text: str) -> str:
    """As every database takes it."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _of_session(table: Any, dialect: Dialect) -> str:
    return str(delete(table).where(table.c.session == bindparam("session")).compile(dialect=dialect))


def _newest(session: Any) -> Select[Any]:
    """The rows that `newest_score` holds, of this session or of all."""
    score, names = schema.score, schema.newest_score.columns.keys()
    is_feedback = score.c.kind == literal_column("'feedback'")
    feedback = case((is_feedback, true()), else_=false())
    version = case((is_feedback, literal_column("''")), else_=score.c.rubric_version)
    last = (score.c.created.desc(), score.c.id.desc())
    columns = (feedback if name == "feedback" else score.c[name] for name in names)
    ranked = select(
        *(column.label(name) for column, name in zip(columns, names, strict=True)),
        version.label("version"),
        func.first_value(version).over(partition_by=(score.c.session, feedback), order_by=last).label("newest"),
        func.row_number()
        .over(partition_by=(score.c.session, feedback, version, score.c.name), order_by=last)
        .label("place"),
    )
    if session is not None:
        ranked = ranked.where(score.c.session == session)
    found = ranked.subquery()
    return select(*(found.c[name] for name in names)).where(
        found.c.place == literal_column("1"), found.c.version == found.c.newest
    )


def _adding(rows: Select[Any]) -> Insert:
    return insert(schema.newest_score).from_select(schema.newest_score.columns.keys(), rows)
