"""All that a store holds of one session, as one JSON object, and back: what goes from store to store.

Bodies are told as texts, so that people and other programs can read them; what is no text is told in base64. Digests
are hexadecimal. A field that has its usual value is left out. Each object holds a digest of itself, by which damage is
seen.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec
import orjson
from sqlalchemy import Connection, select

from drawbar.ids import digest
from drawbar.record import load, schema
from drawbar.record.load import Material, SessionReader
from drawbar.record.rows import (
    AnswerRow,
    BlobRow,
    CallRow,
    HealthRow,
    LiveScoringRow,
    NodeRow,
    Row,
    RunRow,
    ScoreRow,
    SessionRow,
    SummaryRow,
    ToolCallRow,
)

VERSION: Final = 1
"""Of the object. A reader refuses a later one."""

_HEXADECIMAL: Final[Mapping[type[Row], frozenset[str]]] = {
    SessionRow: frozenset({"key_digest", "owner"}),
    NodeRow: frozenset({"id", "parent"}),
    BlobRow: frozenset({"digest"}),
    CallRow: frozenset({"request", "reply", "reply_body", "tools", "request_envelope", "response_envelope"}),
}
"""The fields that are digests."""


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """One session with all its rows."""

    session: SessionRow
    run: RunRow | None = None
    nodes: tuple[NodeRow, ...] = ()
    blobs: tuple[BlobRow, ...] = ()
    calls: tuple[CallRow, ...] = ()
    tool_calls: tuple[ToolCallRow, ...] = ()
    scores: tuple[ScoreRow, ...] = ()
    answers: tuple[AnswerRow, ...] = ()
    live_scoring: tuple[LiveScoringRow, ...] = ()
    """What rubrics have looked at; not what they have still to."""
    health: HealthRow | None = None
    summary: SummaryRow | None = None

    def rows(self) -> Iterator[Row]:
        """What is to be written for it: a reply's own words before the node that may hold another's."""
        if self.run is not None:
            yield self.run
        yield self.session
        yield from self.blobs
        yield from self._replies()
        yield from self.nodes
        yield from self.calls
        yield from self.tool_calls
        yield from self.scores
        yield from self.answers
        yield from self.live_scoring
        if self.health is not None:
            yield self.health
        if self.summary is not None:
            yield self.summary

    def _replies(self) -> Iterator[NodeRow]:
        """The calls' replies, marked as such: the other store may hold such a node after other thoughts."""
        nodes = {node.id: node for node in self.nodes}
        bodies = {blob.digest: blob.body for blob in self.blobs}
        for call in self.calls:
            node = nodes.get(call.reply) if call.reply is not None else None
            if node is not None and call.reply_body is not None:
                body = bodies.get(call.reply_body, node.body)
                yield msgspec.structs.replace(node, body=body, said=call.reply_body)


_KINDS: Final[Mapping[str, type[Row]]] = {
    "session": SessionRow, "run": RunRow, "nodes": NodeRow, "blobs": BlobRow, "calls": CallRow,
    "tool_calls": ToolCallRow, "scores": ScoreRow, "answers": AnswerRow, "live_scoring": LiveScoringRow,
    "health": HealthRow, "summary": SummaryRow,
}  # fmt: skip


class Archive:
    """Reads whole sessions out of a store. Not to be shared between threads."""

    def __init__(self) -> None:
        self._reader: SessionReader | None = None
        self._runs: dict[str, RunRow | None] = {}

    def read(self, connection: Connection, session: str) -> Archived | None:
        """All of a session; None if there is none of this id."""
        if self._reader is None:
            self._reader = SessionReader(connection.dialect)
        material = self._reader.read(connection, session)
        if material is None:
            return None
        answer, scoring = schema.answer, schema.live_scoring
        answers = select(answer).where(answer.c.session == session).order_by(answer.c.name, answer.c.call)
        looked = select(scoring).where(scoring.c.session == session, ~schema.DUE).order_by(scoring.c.rubric)
        return Archived(
            session=material.session,
            run=self._run(connection, material.session.run),
            nodes=tuple(sorted(material.nodes.values(), key=lambda node: (node.depth, node.id))),
            blobs=tuple(BlobRow(digest=name, body=body) for name, body in sorted(material.blobs.items())),
            calls=tuple(material.calls),
            tool_calls=tuple(material.tool_calls),
            scores=tuple(material.scores),
            answers=tuple(load.structs(connection, AnswerRow, answers)),
            live_scoring=tuple(load.structs(connection, LiveScoringRow, looked)),
            health=load.first(connection, HealthRow, schema.health.c.session == session),
            summary=load.first(connection, SummaryRow, schema.summary.c.session == session),
        )

    def _run(self, connection: Connection, id: str | None) -> RunRow | None:
        if id is None:
            return None
        if id not in self._runs:
            self._runs.clear()  # sessions of one run come one after the other, as a rule
            self._runs[id] = load.first(connection, RunRow, schema.run.c.id == id)
        return self._runs[id]


def material(archived: Archived) -> Material:
    """The same for whoever reads sessions."""
    return Material(
        session=archived.session,
        calls=list(archived.calls),
        tool_calls=list(archived.tool_calls),
        nodes={node.id: node for node in archived.nodes},
        blobs={blob.digest: blob.body for blob in archived.blobs},
        scores=list(archived.scores),
    )


def to_json(archived: Archived) -> dict[str, Any]:
    """The session as a JSON object."""
    value: dict[str, Any] = {"drawbar": "session", "version": VERSION}
    for name in _KINDS:
        rows = getattr(archived, name)
        if isinstance(rows, tuple):
            value[name] = [_told(row) for row in rows]
        elif rows is not None:
            value[name] = _told(rows)
    return {**value, "digest": _digest(value)}


def from_json(value: Any) -> Archived:
    """The session that `to_json` told.

    Raises:
        ValueError: it is none, is damaged, or is of a later version; the message says which.
    """
    if not isinstance(value, dict) or value.get("drawbar") != "session":
        raise ValueError("it is no session of a raw export")
    if value.get("version") != VERSION:
        raise ValueError(
            f"it is of version {value.get('version')!r}, and this drawbar reads {VERSION}: take a newer one"
        )
    if value.get("digest") != _digest({name: told for name, told in value.items() if name != "digest"}):
        raise ValueError("it is damaged: its digest is another one")
    found: dict[str, Any] = {}
    try:
        for name, kind in _KINDS.items():
            told = value.get(name)
            if isinstance(told, list):
                found[name] = tuple(_row(kind, each) for each in told)
            elif told is not None:
                found[name] = _row(kind, told)
        return Archived(**found)
    except (msgspec.ValidationError, TypeError, KeyError) as error:
        raise ValueError(f"it is no session as this drawbar knows them: {error}") from error


def _digest(value: Mapping[str, Any]) -> str:
    return digest(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hex()


class _Shape(NamedTuple):
    """The fields of a kind of row."""

    digests: frozenset[str]
    usual: Mapping[str, Any]
    types: Mapping[str, Any]


@cache
def _shape(kind: type[Row]) -> _Shape:
    fields = msgspec.structs.fields(kind)
    usual = {field.name: field.default for field in fields}
    return _Shape(_HEXADECIMAL.get(kind, frozenset()), usual, {field.name: field.type for field in fields})


def _told(row: Row) -> dict[str, Any]:
    digests, usual, _ = _shape(type(row))
    return {
        name: _plain(value, hexadecimal=name in digests)
        for name, value in msgspec.structs.asdict(row).items()
        if value != usual[name]
    }


def _plain(value: Any, *, hexadecimal: bool) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if not isinstance(value, bytes):
        return value
    if hexadecimal:
        return value.hex()
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _row(kind: type[Row], told: Mapping[str, Any]) -> Any:
    digests, _, types = _shape(kind)
    if unknown := sorted(told.keys() - types.keys()):
        raise TypeError(f"{kind.__name__} has no {', '.join(unknown)}")
    fields = {name: _value(value, types[name], hexadecimal=name in digests) for name, value in told.items()}
    return msgspec.convert(fields, kind, builtin_types=(bytes,))


def _value(told: Any, type: Any, *, hexadecimal: bool) -> Any:
    if isinstance(told, dict):
        return float(told["float"]) if "float" in told else base64.b64decode(told["base64"])
    if hexadecimal and told is not None:
        return bytes.fromhex(told)
    is_bytes = type is bytes or type == bytes | None
    return told.encode() if is_bytes and isinstance(told, str) else told
