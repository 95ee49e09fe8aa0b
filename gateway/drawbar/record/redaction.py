"""Redaction: the one place where recorded bodies pass a hook before the first byte of them is kept.

Digests are taken of what was said, before redaction: the same secret is recognised again without being kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import structs

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


def redacted(row: Row, redact: Redact) -> Row:
    """The row as it may be kept."""
    changes: dict[str, bytes | str] = {}
    for name in REDACTED[type(row)]:
        value = getattr(row, name)
        if isinstance(value, str):
            changes[name] = redact(value.encode(errors="replace")).decode(errors="replace")
        elif value is not None:
            changes[name] = redact(value)
    return structs.replace(row, **changes)
