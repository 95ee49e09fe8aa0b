"""Token counts of the `gemini` dialect.

The counts of `usageMetadata` add up to its total: prompt + results of the provider's own tools + candidates + thoughts.
The cached tokens are a part of the prompt. Ours follow the other dialects: what tools brought in counts as prompt, and
thoughts count as completion and are named once more as reasoning. Some providers count the thoughts among the
candidates already; their total gives that away.

Zeros are left out on the wire: where the total says so, a missing count is 0.
"""

from __future__ import annotations

from typing import Any

from drawbar.wire.counts import count
from drawbar.wire.dialect import Usage
from drawbar.wire.gemini_names import get


def usage(value: Any) -> Usage:
    """The counts of a `usageMetadata` object; all None when there is none."""
    if not isinstance(value, dict):
        return Usage()
    prompt, tools = count(get(value, "promptTokenCount")), count(get(value, "toolUsePromptTokenCount"))
    said, thought = count(get(value, "candidatesTokenCount")), count(get(value, "thoughtsTokenCount"))
    asked = None if prompt is None and tools is None else (prompt or 0) + (tools or 0)
    total = count(get(value, "totalTokenCount"))
    if said is None and thought is None:
        answered = 0 if total is not None and total == asked else None
    elif total is not None and total == (asked or 0) + (said or 0):
        answered = said or 0
    else:
        answered = (said or 0) + (thought or 0)
    return Usage(
        prompt_tokens=asked,
        completion_tokens=answered,
        cached_tokens=count(get(value, "cachedContentTokenCount")),
        reasoning_tokens=thought,
    )
