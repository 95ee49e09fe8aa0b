"""Token counts of the `chat` dialect, in the places where its providers put them."""

from __future__ import annotations

from typing import Any

from drawbar.wire.dialect import Usage


def usage(value: Any) -> Usage:
    """The counts of a `usage` object; all None when there is none."""
    if not isinstance(value, dict):
        return Usage()
    return Usage(
        prompt_tokens=_count(value.get("prompt_tokens")),
        completion_tokens=_count(value.get("completion_tokens")),
        cached_tokens=_count(
            _in(value, "prompt_tokens_details", "cached_tokens", value.get("prompt_cache_hit_tokens"))
        ),
        cost=_dollars(value.get("cost")),
        reasoning_tokens=_count(_in(value, "completion_tokens_details", "reasoning_tokens", None)),
    )


def _in(value: dict[str, Any], outer: str, inner: str, otherwise: Any) -> Any:
    details = value.get(outer)
    found = details.get(inner) if isinstance(details, dict) else None
    return otherwise if found is None else found


def _dollars(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None
