"""Whole answers of the `responses` dialect: the reply among its fields, why it ended, and what it cost."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from drawbar.wire.counts import count, dollars, within
from drawbar.wire.dialect import BadBody, Response, Usage
from drawbar.wire.fields import items, joined
from drawbar.wire.tolerant import load

_UNDER_WAY: Final = frozenset({"queued", "in_progress"})


def answer(values: dict[str, msgspec.Raw]) -> Response:
    """The response of these fields. Raises `BadBody`."""
    rest = dict(values)
    output = rest.pop("output", None)
    if output is None:
        raise BadBody("the answer has no `output`")
    return Response(
        message=bytes(output) if bytes(output) != b"null" and items(output, "output") else None,
        finish=_finish(_value(values, "status"), _value(values, "incomplete_details")),
        usage=usage(_value(values, "usage")),
        envelope=joined(rest),
        names=names(values),
    )


def names(values: dict[str, msgspec.Raw]) -> tuple[str, ...]:
    """What a later request may call the conversation up to this answer."""
    return tuple(name for name in (_name(values, "id"), _name(values, "conversation")) if name is not None)


def usage(value: Any) -> Usage:
    """The counts of a `usage` object; all None when there is none."""
    if not isinstance(value, dict):
        return Usage()
    return Usage(
        prompt_tokens=count(value.get("input_tokens")),
        completion_tokens=count(value.get("output_tokens")),
        cached_tokens=count(within(value, "input_tokens_details", "cached_tokens")),
        reasoning_tokens=count(within(value, "output_tokens_details", "reasoning_tokens")),
        cost=dollars(value.get("cost")),
    )


def named(value: Any) -> str | None:
    """The id that is given as such or as an object's."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) and found else None


def _finish(status: Any, details: Any) -> str | None:
    """The status, and of an incomplete answer the reason."""
    if not isinstance(status, str) or status in _UNDER_WAY:
        return None
    reason = details.get("reason") if status == "incomplete" and isinstance(details, dict) else None
    return reason if isinstance(reason, str) else status


def _value(values: dict[str, msgspec.Raw], key: str) -> Any:
    return load(bytes(values[key])) if key in values else None


def _name(values: dict[str, msgspec.Raw], key: str) -> str | None:
    return named(_value(values, key))
