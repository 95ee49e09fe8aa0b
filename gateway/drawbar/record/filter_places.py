"""Where the value of a column is found in the store, and how a comparison asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sqlalchemy import ColumnElement, Select, and_, false, func, not_, or_, select, true

from drawbar.record.filter_functions import contains, like
from drawbar.record.filter_tree import Comparison
from drawbar.record.filter_values import Span
from drawbar.record.packing import needle
from drawbar.record.schema import label, session

Value: TypeAlias = ColumnElement[Any]
Holds: TypeAlias = ColumnElement[bool]


class Place(Protocol):
    """Where a column's value stands. `None` values meet no comparison; `=` with several values holds if one does."""

    def meets(self, comparison: Comparison) -> Holds: ...

    def missing(self) -> Holds: ...


@dataclass(frozen=True, slots=True)
class One:
    """A value of the session's own."""

    value: Value

    def meets(self, comparison: Comparison) -> Holds:
        return compared(self.value, comparison)

    def missing(self) -> Holds:
        return self.value.is_(None)


@dataclass(frozen=True, slots=True)
class Rows:
    """Values in rows of another table that name the session."""

    value: Value
    of: Holds
    """Which rows: those that belong to the session, and to the column."""
    there: Value
    """What must not be null for the value to be there."""

    def meets(self, comparison: Comparison) -> Holds:
        return self._exists(compared(self.value, comparison))

    def missing(self) -> Holds:
        return not_(self._exists(self.there.is_not(None)))

    def _exists(self, condition: Holds) -> Holds:
        return select(true()).where(self.of, condition).correlate(session).exists()


@dataclass(frozen=True, slots=True)
class Packed:
    """Names in one text. Where there is no text yet, `instead` says whether one of them meets a condition."""

    text: Value
    instead: Callable[[Callable[[Value], Holds]], Holds] | None = None

    def meets(self, comparison: Comparison) -> Holds:
        if comparison.operator == "contains":
            wanted = [str(comparison.values[0])]
        else:
            wanted = [needle(str(value)) for value in comparison.values]
        found = or_(*(contains(self.text, each) for each in wanted))
        if self.instead is None:
            return found
        return or_(found, and_(self.text.is_(None), self.instead(lambda value: compared(value, comparison))))

    def missing(self) -> Holds:
        none = self.text == ""
        if self.instead is None:
            return or_(none, self.text.is_(None))
        return or_(none, and_(self.text.is_(None), not_(self.instead(lambda value: value != ""))))


@dataclass(frozen=True, slots=True)
class Labels:
    """What metadata says under one of these names. A text that is a number is compared as one, where that is asked."""

    names: tuple[str, ...]

    def meets(self, comparison: Comparison) -> Holds:
        spans = all(isinstance(value, Span) for value in comparison.values) and bool(comparison.values)
        condition = compared(label.c.number if spans else label.c.value, comparison)
        if comparison.operator in ("=", "in"):  # few sessions as a rule: they are looked for by the value
            return session.c.id.in_(self._named().with_only_columns(label.c.session).where(condition))
        return self._of_session().where(condition).exists()

    def missing(self) -> Holds:
        return not_(self._of_session().exists())

    def _named(self) -> Select[Any]:
        return select(true()).select_from(label).where(label.c.name.in_(self.names))

    def _of_session(self) -> Select[Any]:
        return self._named().where(label.c.session == session.c.id).correlate(session)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is so or is not."""

    holds: Holds

    def meets(self, comparison: Comparison) -> Holds:
        return self.holds if comparison.values[0] else not_(func.coalesce(self.holds, false()))

    def missing(self) -> Holds:
        return false()


def compared(value: Value, comparison: Comparison) -> Holds:
    """A value against what a comparison says. Null where the value is."""
    values, operator = comparison.values, comparison.operator
    if operator in ("=", "in"):
        texts = [each for each in values if not isinstance(each, Span)]
        spans = [_within(value, each) for each in values if isinstance(each, Span)]
        return or_(*([value.in_(texts)] if texts else []), *spans) if values else false()
    if operator == "contains":
        return contains(value, str(values[0]))
    if operator == "like":
        return like(value, str(values[0]))
    return _ordered(value, operator, [each for each in values if isinstance(each, Span)])


def _ordered(value: Value, operator: str, spans: list[Span]) -> Holds:
    first, last = spans[0], spans[-1]
    match operator:
        case "<":
            return value < first.low
        case "<=":
            return value < first.high
        case ">":
            return value >= first.high
        case ">=":
            return value >= first.low
    return and_(value >= first.low, value < last.high)  # between


def _within(value: Value, span: Span) -> Holds:
    return and_(value >= span.low, value < span.high)
