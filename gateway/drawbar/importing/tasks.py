"""Tasks as other programs write them, as ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drawbar.errors import ConfigurationError
from drawbar.task import Task


def task_of(
    prompt: str | Sequence[Mapping[str, Any]] | None,
    *,
    answer: Any = None,
    key: Any = None,
    system: str | None = None,
    info: Mapping[str, Any] | None = None,
) -> Task | None:
    """The task; None where there is none, or it asks for nothing."""
    if not prompt:
        return None
    given = prompt if isinstance(prompt, str) else [dict(message) for message in prompt]
    try:
        return Task(
            prompt=given, answer=answer, key="" if key is None else str(key), system=system or None, info=info or {}
        )
    except ConfigurationError:
        return None
