"""What people say of an agent's work, as scores. A correction is the answer that should have been given: it has no
value, and its text stands in the row's explanation, where whoever makes training data finds it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from drawbar.errors import ConfigurationError, UnknownName, nearest
from drawbar.ids import new_id
from drawbar.record.rows import ScoreRow, SessionRow

if TYPE_CHECKING:
    from drawbar.record.store import Store

FIELDS: Final = ("thumbs", "score", "name", "correction", "comment")
CORRECTION: Final = "correction"
SESSION_LABELS: Final = ("session", "session_id")
"""Under which of its metadata a client names its session."""
_THUMBS: Final = {"up": 1.0, "down": 0.0}
_LONGEST: Final = {"correction": 200_000, "comment": 20_000, "name": 100}
"""Characters."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """What one person says at one time; something of it must be there.

    Raises:
        ConfigurationError: nothing is, or it cannot be meant.
    """

    thumbs: str | None = None
    """up | down"""
    score: float | None = None
    name: str = "score"
    """What the number is called."""
    correction: str | None = None
    """The answer that should have been given."""
    comment: str | None = None

    def __post_init__(self) -> None:
        if self.thumbs not in (None, *_THUMBS):
            raise ConfigurationError(f'`thumbs` is "up" or "down", not {self.thumbs!r}.')
        if self.score is not None and not _is_number(self.score):
            raise ConfigurationError(f"`score` is a finite number, not {self.score!r}.")
        for field, longest in _LONGEST.items():
            value = getattr(self, field)
            if value is not None and (not isinstance(value, str) or not 0 < len(value) <= longest):
                raise ConfigurationError(f"`{field}` is a text of at most {longest} characters, and not empty.")
        if self.name in ("thumbs", "correction", "comment"):
            raise ConfigurationError(f"A number cannot be named {self.name!r}: that is something else.")
        if (self.thumbs, self.score, self.correction, self.comment) == (None,) * 4:
            raise ConfigurationError("Feedback is at least one of thumbs, score, correction and comment.")

    def rows(self, session: str, call: str | None) -> list[ScoreRow]:
        """One row for each thing that is said; a comment goes with what is said beside it."""
        now = time.time()
        return [
            ScoreRow(
                id=new_id("score"), session=session, name=name, kind="feedback", value=value, weight=0.0,
                rubric_version="", source="feedback", explanation=text, created=now, call=call,
            )
            for name, value, text in self._said()
        ]  # fmt: skip

    def _said(self) -> Iterator[tuple[str, float | None, str | None]]:
        rated = False
        if self.thumbs is not None:
            rated = True
            yield "thumbs", _THUMBS[self.thumbs], self.comment
        if self.score is not None:
            rated = True
            yield self.name, float(self.score), self.comment
        if self.correction is not None:
            yield CORRECTION, None, self.correction
        if self.comment is not None and not rated:
            yield "comment", None, self.comment


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def feedback_from_json(value: dict[str, Any]) -> Feedback:
    """Raises `ConfigurationError` for fields that there are not, and as `Feedback` does."""
    for field in value:
        if field not in FIELDS:
            raise ConfigurationError(f"Feedback has no field {field!r}.{nearest(field, FIELDS)}")
    return Feedback(**{field: item for field, item in value.items() if item is not None})


def found(store: Store, name: str, owner: bytes | None = None) -> tuple[SessionRow, str | None]:
    """The session that is meant, and the call of it: by the session's id (or its beginning, for whoever may see all),
    by what the provider called an answer, or by the name that its client gave the session in its metadata.

    `owner`: only sessions of this client.

    Raises:
        UnknownName: there is none.
    """
    for row, call in _meant(store, name):
        if owner is None or row.owner == owner:
            return row, call
    if owner is None:
        row_by_prefix = store.session(_resolved(store, name))
        if row_by_prefix is not None:
            return row_by_prefix, None
    raise UnknownName("session or answer", name, None)


def _meant(store: Store, name: str) -> Iterator[tuple[SessionRow, str | None]]:
    row = store.session(name)
    if row is not None:
        yield row, None
    for answer in store.answers(name):
        row = store.session(answer.session)
        if row is not None:
            yield row, answer.call
    for row in store.labelled(SESSION_LABELS, name):
        yield row, None


def _resolved(store: Store, prefix: str) -> str:
    try:
        return store.resolve(prefix)
    except UnknownName:
        return prefix
