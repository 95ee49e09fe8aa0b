"""A filter as one SQL expression over a session and its summary. Values are bound; no text of a filter is SQL."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, false, func, not_, or_, true

from drawbar.record.filter_columns import COLUMNS
from drawbar.record.filter_tree import All, Comparison, Condition, Not, Some


def expression(condition: Condition | None) -> ColumnElement[bool]:
    """The condition, for a query `from session left join summary`. It may be null where it does not hold."""
    match condition:
        case None:
            return true()
        case Comparison():
            place = COLUMNS[condition.column].place(condition.key)
            return place.missing() if condition.operator == "null" else place.meets(condition)
        case Not():
            return not_(func.coalesce(expression(condition.of), false()))
        case All():
            return and_(*map(expression, condition.of))
        case Some():
            return or_(*map(expression, condition.of))
