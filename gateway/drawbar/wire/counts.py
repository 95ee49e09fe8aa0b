"""Numbers that providers report: taken when they can be counts or prices, else as if they had not been sent."""

from __future__ import annotations

from typing import Any, Final

_MOST: Final = 2**53
"""No amount is larger: what claims to be would not fit into the record."""


def count(value: Any) -> int | None:
    """A number of tokens."""
    return int(value) if _is_amount(value) else None


def dollars(value: Any) -> float | None:
    """A price in US dollars."""
    return float(value) if _is_amount(value) else None


def within(value: dict[str, Any], outer: str, inner: str) -> Any:
    """What the object named `outer` holds as `inner`; None where either is missing."""
    details = value.get(outer)
    return details.get(inner) if isinstance(details, dict) else None


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST
