"""Token counts of the `messages` dialect.

Anthropic counts a prompt in three parts that do not overlap: `input_tokens` (neither read from the cache nor written to
it), `cache_read_input_tokens` and `cache_creation_input_tokens`. A `Usage` counts as the other dialects do: all of the
prompt, and how much of it came from the cache. So

    prompt_tokens = input_tokens + cache_creation_input_tokens + cache_read_input_tokens
    cached_tokens = cache_read_input_tokens

What was written to the cache counts as an uncached part of the prompt; that providers charge more for it (1.25 or 2
times the price) is not in a `Usage`: the response's envelope keeps the counts as they came.
"""

from __future__ import annotations

from typing import Any

from drawbar.wire.counts import count
from drawbar.wire.dialect import Usage


def usage(value: Any) -> Usage:
    """The counts of a `usage` object; all None when there is none."""
    if not isinstance(value, dict):
        return Usage()
    fresh = count(value.get("input_tokens"))
    cached = count(value.get("cache_read_input_tokens"))
    written = count(value.get("cache_creation_input_tokens"))
    details = value.get("output_tokens_details")
    return Usage(
        prompt_tokens=None if fresh is None else fresh + (cached or 0) + (written or 0),
        completion_tokens=count(value.get("output_tokens")),
        cached_tokens=cached,
        reasoning_tokens=count(details.get("thinking_tokens")) if isinstance(details, dict) else None,
    )
