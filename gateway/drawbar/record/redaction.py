"""Redaction: the one place where recorded bodies pass a hook before the first byte of them is kept.

Digests are taken of what was said, before redaction: the same secret is recognised again without being kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, TypeVar

from msgspec import structs

from drawbar.record.database import UnwritableRow
from drawbar.record.rows import (
    AnswerRow,
    BlobRow,
    CallRow,
    HealthRow,
    KeyRow,
    KeyUseRow,
    LiveScoringRow,
    NodeRow,
    Row,
    RunRow,
    ScoreRow,
    SessionRow,
    SummaryRow,
    ToolCallRow,
)

R = TypeVar("R", bound=Row)

Redact: TypeAlias = Callable[[bytes], bytes]
"""Takes a body (mostly JSON) and returns what may be kept of it. It runs in the recorder's thread."""

REDACTED: Final[dict[type[Row], tuple[str, ...]]] = {
    RunRow: ("config",),
    SessionRow: ("task", "config", "metadata", "error"),
    BlobRow: ("body",),
    NodeRow: ("body",),
    CallRow: ("error",),
    ToolCallRow: ("arguments", "meta", "result", "shown", "error"),
    ScoreRow: ("explanation", "error", "usage"),
    HealthRow: ("findings",),
    SummaryRow: (),
    AnswerRow: (),
    LiveScoringRow: (),
    KeyRow: (),
    KeyUseRow: (),
}
"""What the hook is given of each kind of row: everything that an agent, a server or a user may have said."""


def _kind(row: Row) -> type[Row]:
    return type(row)


def redacted(row: R, redact: Redact) -> R:
    """The row as it may be kept."""
    changes: dict[str, bytes | str] = {}
    for name in REDACTED[_kind(row)]:
        value = getattr(row, name)
        if isinstance(value, str):
            changes[name] = redact(value.encode(errors="replace")).decode(errors="replace")
        elif value is not None:
            changes[name] = redact(value)
    return structs.replace(row, **changes)


def all_redacted(rows: Sequence[R], redact: Redact | None) -> Sequence[R]:
    """The rows as they may be kept, for whoever writes without a recorder.

    Raises:
        UnwritableRow: the hook failed; nothing of the rows may be kept. What it said may quote what it was to hide.
    """
    if redact is None:
        return rows
    try:
        return [redacted(row, redact) for row in rows]
    except Exception as error:
        raise UnwritableRow(f"The redaction hook raised {type(error).__name__}; nothing is kept.") from None
