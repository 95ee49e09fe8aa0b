"""Values as a filter says them, in the terms of a kind of column: numbers, times, lengths of time, words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeAlias

from drawbar.errors import nearest

_CLOSE: Final = 1e-9
"""Scores that differ by less are the same: sums of weights are seldom exact."""
_UNITS: Final[Mapping[str, float]] = {
    "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400,
}  # fmt: skip
_LENGTH: Final = re.compile(r"(\d+(?:\.\d*)?)(ms|min|[smhdw])")
_UNIX: Final = re.compile(r"\d{9,12}(\.\d*)?")
_LARGEST: Final = 1e18


class BadValue(ValueError):
    """The value means nothing for its column; the message says what would."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `low` on and below `high`: a number is the smallest of spans, a day is one of 86,400 s."""

    low: float
    high: float


Meaning: TypeAlias = str | Span | bool


def _exactly(number: float) -> Span:
    return Span(number, math.nextafter(number, math.inf))


def number(text: str) -> Span:
    """A plain number."""
    return _exactly(_read(text))


def score(text: str) -> Span:
    """A number, to nine digits after the point."""
    value = _read(text)
    return Span(value - _CLOSE, math.nextafter(value + _CLOSE, math.inf))


def _read(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise BadValue(f"a number, not {text!r}") from None
    if not abs(value) <= _LARGEST:
        raise BadValue(f"a number between -1e18 and 1e18, not {text}")
    return value


def seconds(text: str) -> Span:
    """A length of time: `90` (seconds), `1.5h`, `20min`."""
    length = _length(text)
    if length is not None:
        return _exactly(length)
    try:
        return _exactly(_read(text))
    except BadValue:
        raise BadValue(f"a length of time such as 30s, 5min, 2h or 7d, not {text!r}") from None


def _length(text: str) -> float | None:
    found = _LENGTH.fullmatch(text)
    return None if found is None else float(found[1]) * _UNITS[found[2]]


def moment(now: float) -> Callable[[str], Span]:
    """A time, seen from this one: `7d` (ago), a date or time in ISO 8601 (UTC, unless it says else), unix seconds."""

    def read(text: str) -> Span:
        ago = _length(text)
        if ago is not None:
            return _exactly(now - ago)
        if _UNIX.fullmatch(text):
            return _exactly(_read(text))
        if text == "now":
            return _exactly(now)
        if text in ("today", "yesterday"):
            return _day(datetime.fromtimestamp(now, UTC).date() - timedelta(days=text == "yesterday"))
        try:
            return _day(date.fromisoformat(text))
        except (ValueError, OverflowError):
            pass
        try:
            said = datetime.fromisoformat(text)
            return _exactly((said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            raise BadValue(
                f"a time such as 7d (ago), 2026-11-30, 2026-11-30T18:00 (UTC), today or yesterday, not {text!r}"
            ) from None

    return read


def _day(day: date) -> Span:
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    return Span(begins, begins + 86400)


def words(text: str) -> str:
    """Text, as every database takes it."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def one_of(known: Iterable[str]) -> Callable[[str], str]:
    """One of a few words."""
    names = list(known)

    def read(text: str) -> str:
        if text not in names:
            raise BadValue(f"one of its words, and {text!r} is none.{nearest(text, names)}")
        return text

    return read


def truth(text: str) -> bool:
    """true or false."""
    if text.lower() not in ("true", "false"):
        raise BadValue(f"true or false, not {text!r}")
    return text.lower() == "true"
