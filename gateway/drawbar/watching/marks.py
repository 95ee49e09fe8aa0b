"""What sessions are marked with: the labels that their clients gave them, their scores, people's feedback."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from sqlalchemy import Connection, select

from drawbar.record import schema


@dataclass(frozen=True, slots=True)
class Labels:
    """What a session's metadata says of it."""

    user: str | None = None
    release: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Scored:
    """What a session's newest scores are."""

    rubric: str | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    feedback: dict[str, float | None] = field(default_factory=dict)
    weighted: list[float | None] = field(default_factory=list)

    @property
    def reward(self) -> float | None:
        """Their weighted sum; None where a weighted one has no value."""
        values = [value for value in self.weighted if value is not None]
        return sum(values) if values and len(values) == len(self.weighted) else None

    def add(self, feedback: bool, name: str, value: float | None, weight: float, version: str) -> None:
        if feedback:
            self.feedback[name] = value
            return
        self.rubric, self.scores[name] = version, value
        if weight:
            self.weighted.append(None if value is None else weight * value)


class Marks:
    """The labels and scores of the sessions that are watched."""

    def __init__(self) -> None:
        self._labels: dict[bytes, Labels] = {}
        self._scores: dict[str, Scored] = {}

    def of(self, connection: Connection, sessions: Iterable[str]) -> Self:
        """Read the scores of these sessions."""
        table, found = schema.newest_score, dict[str, Scored]()
        columns = (table.c.session, table.c.feedback, table.c.name, table.c.value, table.c.weight)
        query = select(*columns, table.c.rubric_version).where(table.c.session.in_(list(sessions)))
        for session, *score in connection.execute(query.order_by(table.c.session, table.c.name)):
            found.setdefault(session, Scored()).add(*score)
        self._scores = found
        return self

    def scores(self, session: str) -> Scored:
        return self._scores.get(session) or Scored()

    def labels(self, metadata: bytes) -> Labels:
        """What the metadata says; sessions of one client mostly say the same."""
        known = self._labels.get(metadata)
        if known is None:
            if len(self._labels) > 5000:
                self._labels.clear()
            known = self._labels[metadata] = _labels(metadata)
        return known


def _labels(metadata: bytes) -> Labels:
    try:
        value: Any = orjson.loads(metadata)
    except ValueError:  # a redaction hook may have left something else
        value = None
    if not isinstance(value, dict):
        return Labels()
    tags = value.get("tags", value.get("tag"))
    listed = tags if isinstance(tags, list) else [] if tags is None else [tags]
    return Labels(
        user=_text(value.get("user")), release=_text(value.get("release")),
        tags=[text for text in map(_text, listed) if text is not None],
    )  # fmt: skip


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str | int | float) else None
