"""Several names in one text column, so that a session's row tells by itself which names it has."""

from __future__ import annotations

from collections.abc import Iterable

_BETWEEN = "\n"


def packed(names: Iterable[str]) -> str:
    """The names, each once and in order, each with a line's end before and after it; none: an empty text."""
    known = sorted({name.replace(_BETWEEN, " ") for name in names if name})
    return _BETWEEN.join(("", *known, "")) if known else ""


def unpacked(text: str) -> list[str]:
    """The names that `packed` was given."""
    return text.split(_BETWEEN)[1:-1]


def needle(name: str) -> str:
    """What a packed text contains when, and only when, this name is in it."""
    return _BETWEEN + name.replace(_BETWEEN, " ") + _BETWEEN
