"""Token counts of the `chat` dialect, in the places where its providers put them."""

from __future__ import annotations

from typing import Any

from drawbar.wire.counts import count, dollars, within
from drawbar.wire.dialect import Usage


def usage(value: Any) -> Usage:
    """The counts of a `usage` object; all None when there is none."""
    if not isinstance(value, dict):
        return Usage()
    cached = within(value, "prompt_tokens_details", "cached_tokens")
    return Usage(
        prompt_tokens=count(value.get("prompt_tokens")),
        completion_tokens=count(value.get("completion_tokens")),
        cached_tokens=count(value.get("prompt_cache_hit_tokens") if cached is None else cached),
        cost=dollars(value.get("cost")),
        reasoning_tokens=count(within(value, "completion_tokens_details", "reasoning_tokens")),
    )
