"""What a session comes to, in SQL, straight from its calls: for sessions that have no summary."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, and_, case, cast, func, or_, select

from drawbar.record.schema import call, session, tool_call

_ANSWERED: Final = call.c.status == "answered"
_OF_CALLS: Final[dict[str, Any]] = {
    "turns": func.coalesce(func.sum(case((_ANSWERED, 1), else_=0)), 0),
    "calls": func.count(),
    "failed_calls": func.coalesce(func.sum(case((_ANSWERED, 0), else_=1)), 0),
    "cost": func.sum(call.c.cost),
    **{
        f"{kind}_tokens": func.coalesce(func.sum(call.c[f"{kind}_tokens"]), 0)
        for kind in ("prompt", "completion", "cached", "reasoning")
    },
}
_FAILED: Final = or_(tool_call.c.is_error, tool_call.c.status != "answered")
_OF_TOOL_CALLS: Final[dict[str, Any]] = {
    "tool_calls": func.count(),
    "tool_errors": func.coalesce(func.sum(case((_FAILED, 1), else_=0)), 0),
}

NAMES: Final = (*_OF_CALLS, *_OF_TOOL_CALLS)


def added_up(name: str) -> ColumnElement[Any]:
    """The sum of this name, for the session at hand in the query around it."""
    table, expression = (tool_call, _OF_TOOL_CALLS[name]) if name in _OF_TOOL_CALLS else (call, _OF_CALLS[name])
    found = select(expression).select_from(table).where(table.c.session == session.c.id)
    total = found.correlate(session).scalar_subquery()
    return total if name == "cost" else cast(total, BigInteger)  # PostgreSQL's sums of whole numbers are decimals


def first_model() -> ColumnElement[Any]:
    """The model that its first call names."""
    found = select(call.c.model).where(call.c.session == session.c.id).order_by(call.c.seq, call.c.id).limit(1)
    return found.correlate(session).scalar_subquery()


def some_call(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether some call of the session at hand meets the condition."""
    return select(call.c.id).where(and_(call.c.session == session.c.id, condition)).correlate(session).exists()
