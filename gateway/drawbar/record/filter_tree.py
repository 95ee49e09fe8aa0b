"""A filter as a tree. Knows columns by their names alone; what they are is in `filter_columns`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from drawbar.record.filter_values import Meaning

Operator: TypeAlias = Literal["=", "<", "<=", ">", ">=", "in", "between", "like", "contains", "null"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One column against values. A comparison with a value that is not there is false."""

    column: str
    key: str | None
    """Which score, metadata, ...: what stands after the column's dot."""
    operator: Operator
    values: tuple[Meaning, ...]
    text: str
    """As it was written."""


@dataclass(frozen=True, slots=True)
class Not:
    """True where the other is not."""

    of: Condition
    text: str


@dataclass(frozen=True, slots=True)
class All:
    """True where all of them are."""

    of: tuple[Condition, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Some:
    """True where one of them is."""

    of: tuple[Condition, ...]
    text: str


Condition: TypeAlias = Comparison | Not | All | Some
