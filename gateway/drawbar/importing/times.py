"""Times as other programs write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def seconds(told: Any) -> float | None:
    """Unix seconds of an ISO 8601 time (UTC, if it names no zone) or of a number of seconds; None: it is neither."""
    if isinstance(told, int | float) and not isinstance(told, bool):
        return float(told) or None
    try:
        found = datetime.fromisoformat(told)
    except (TypeError, ValueError):
        return None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
