"""What an upstream's refusal means, and what follows: retry, go to the next model, give up. Pure; the one place."""

from __future__ import annotations

import email.utils
import re
import time
from dataclasses import dataclass
from typing import Final, Literal

from drawbar.proxy.upstream import Headers, UpstreamError, header

_OVERFLOW: Final = re.compile(
    r"context[ _-]?length|context[ _-]?window|maximum context"
    r"|max(imum)?[ _]?(model|sequence|input)[ _]?(len|length|tokens)"
    r"|(prompt|input|request|messages?)( \w+)* (is|are) too (long|large)|too many (input |total )?tokens"
    r"|exceeds? the (maximum|max|limit)[\w ]* tokens|reduce the length|token (count|limit)[\w ()]* exceed",
    re.IGNORECASE,
)
"""How providers say that a conversation outgrew the model (openai, anthropic, gemini, vllm, llama.cpp, ...)."""

_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses after which the same request may succeed."""
_ELSEWHERE: Final = frozenset({401, 402, 403, 404})
"""Statuses after which only another model may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often an upstream is asked again, and how long is waited before. The sum of waits is bounded."""

    attempts: int = 4
    """Requests per model, the first included."""
    first_wait: float = 0.5
    """Seconds before the second request; doubled each time, with jitter that only shortens it."""
    longest_wait: float = 8.0
    longest_retry_after: float = 30.0
    """A provider that asks for more than this is not waited for."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a failure."""

    action: Literal["retry", "fallback", "give up"]
    wait: float = 0.0


def decide(error: UpstreamError, *, attempt: int, fallbacks: int, policy: RetryPolicy, jitter: float = 0.0) -> Decision:
    """What to do after request number `attempt` (from 1) to a model failed, when `fallbacks` other models are left.

    `jitter` is a number from 0 to 1: the share of a quarter of the wait that is taken off.
    """
    again = error.retry if error.retry is not None else error.status in _AGAIN
    otherwise: Literal["fallback", "give up"] = "fallback" if fallbacks else "give up"
    if error.cause == "context_overflow" or not (again or error.status in _ELSEWHERE or error.retry is False):
        return Decision("give up")
    if not again or attempt >= policy.attempts:
        return Decision(otherwise)
    asked = retry_after(error.headers)
    if asked is not None:
        return Decision("retry", asked) if asked <= policy.longest_retry_after else Decision(otherwise)
    wait = min(policy.first_wait * 2 ** (attempt - 1), policy.longest_wait)
    return Decision("retry", wait * (1 - jitter / 4))


def refusal(status: int, headers: Headers, body: bytes, said: str) -> UpstreamError:
    """The error that an upstream's answer of 300 and above means."""
    retry = None
    if status in (400, 413, 422) and _OVERFLOW.search(said or body[:4000].decode("utf-8", "replace")):
        cause = "context_overflow"
    elif status == 429:
        cause = "upstream_rate_limited"
        retry = False if b"insufficient_quota" in body else None
    elif status >= 500 or status == 408:
        cause = "upstream_unavailable"
    else:
        cause = "upstream_rejected"
        retry = False if status < 400 else None
    return UpstreamError(
        cause,
        said or f"the provider answered {status}",
        status=status if status >= 400 else 502,
        headers=headers,
        body=body if status >= 400 else None,
        retry=retry,
    )


def retry_after(headers: Headers) -> float | None:
    """Seconds that the provider asks to wait, from `Retry-After` (seconds or a date) or `retry-after-ms`."""
    if (ms := _number(header(headers, b"retry-after-ms"))) is not None:
        return ms / 1000
    value = header(headers, b"retry-after")
    if value is None:
        return None
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value.decode("latin-1")).timestamp() - time.time())
    except ValueError:
        return None


def _number(value: bytes | None) -> float | None:
    try:
        number = float(value) if value is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
