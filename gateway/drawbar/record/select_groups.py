"""Sessions added up by columns: one row for each combination of values, task and rubric version, in one query."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, case, func, select

from drawbar.errors import ConfigurationError, nearest
from drawbar.record.filter import Filter, column_named
from drawbar.record.filter_columns import COLUMNS, HEALTH, REWARD, SUMS
from drawbar.record.filter_functions import floored
from drawbar.record.filter_places import Value
from drawbar.record.filter_sql import expression
from drawbar.record.schema import session
from drawbar.record.select import SESSIONS, newest_rubric

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR
_MONDAY: Final = 3 * _DAY
"""From the Monday before it to the first moment of unix time, a Thursday."""


def _beginning(seconds: float, shift: float = 0.0) -> Value:
    """When the stretch of this length began, in which the session did; in UTC."""
    return floored((session.c.started + shift) / seconds) * seconds - shift


PERIODS: Final[Mapping[str, Value]] = {
    "hour": _beginning(_HOUR), "day": _beginning(_DAY), "week": _beginning(7 * _DAY, _MONDAY),
}  # fmt: skip
"""Of the start: unix seconds at which the hour, the day or the week (from Monday on) began."""

_SUMS: Final[Mapping[str, Callable[[Any], Value]]] = {
    "turns": lambda of: func.sum(of.turns),
    "calls": lambda of: func.sum(of.calls),
    "failed_calls": lambda of: func.sum(of.failed_calls),
    "tool_calls": lambda of: func.sum(of.tool_calls),
    "tool_errors": lambda of: func.sum(of.tool_errors),
    "prompt_tokens": lambda of: func.sum(of.prompt_tokens),
    "completion_tokens": lambda of: func.sum(of.completion_tokens),
    "cost": lambda of: func.sum(of.cost),
    "rewarded": lambda of: func.count(of.reward),
    "reward": lambda of: func.sum(of.reward),
    "squares": lambda of: func.sum(of.reward * of.reward),
    "looked_at": lambda of: func.sum(case((of.health != "unknown", 1), else_=0)),
    "defective": lambda of: func.sum(case((of.health == "defect", 1), else_=0)),
}


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What sessions of one combination come to."""

    by: tuple[Any, ...]
    """The values of the columns."""
    task: str | None
    """Their task's hash; None: they have none."""
    rubric: str | None
    """The version of the rubric that gave their rewards."""
    sessions: int
    turns: int
    calls: int
    failed_calls: int
    tool_calls: int
    tool_errors: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    rewarded: int
    """Sessions that have a reward."""
    reward: float | None
    """The sum of theirs."""
    squares: float | None
    """The sum of its squares."""
    looked_at: int
    """Sessions whose health is known."""
    defective: int


@dataclass(frozen=True, slots=True)
class By:
    """What sessions are added up by."""

    name: str
    value: Value


def by_columns(text: str) -> list[By]:
    """What a list with commas says: columns of the filter language that have one value, or hour, day, week.

    Raises:
        ConfigurationError: there is no such column, or it can have several values.
    """
    return [_by(name.strip()) for name in text.split(",") if name.strip()]


def _by(name: str) -> By:
    if name in PERIODS:
        return By(name, PERIODS[name])
    column, key = column_named(name)
    if column is None or (key is None and not column.keyless) or (key is not None and not column.keyed):
        known = [*PERIODS, *(f"{c.name}.NAME" if c.keyed else c.name for c in COLUMNS.values() if c.alone)]
        raise ConfigurationError(f"Sessions cannot be counted by {name!r}.{nearest(name, known)}")
    if column.alone is None:
        raise ConfigurationError(f"Sessions cannot be counted by {name!r}: one session can have several.")
    return By(name, column.alone(key))


def sums(connection: Connection, filter: Filter, by: Sequence[By]) -> Iterator[Sums]:
    """The sessions that are meant, added up."""
    keys = [f"by_{number}" for number in range(len(by))]
    measures = [name for name in _SUMS if name in SUMS]
    each = (
        select(
            *(column.value.label(key) for column, key in zip(by, keys, strict=True)),
            session.c.task_hash.label("task"), newest_rubric().label("rubric"),
            *(SUMS[name].label(name) for name in measures),
            REWARD.label("reward"), HEALTH.label("health"),
        )
        .select_from(SESSIONS)
        .where(expression(filter.condition))
        .offset(0)  # it stays a query of its own: taken into the one around it, it would be worked out for each sum
        .subquery()
    )  # fmt: skip
    groups = [each.c[name] for name in (*keys, "task", "rubric")]
    query = select(*groups, func.count(), *(of(each.c) for of in _SUMS.values())).group_by(*groups)
    for found in connection.execute(query):
        values, (task, rubric, count, *rest) = found[: len(by)], found[len(by) :]
        numbers = {name: _plain(value) for name, value in zip(_SUMS, rest, strict=True)}
        yield Sums(by=tuple(values), task=task, rubric=rubric, sessions=count, **numbers)


def _plain(value: Any) -> Any:
    """PostgreSQL's sums of whole numbers are decimals."""
    return value if value is None or isinstance(value, float) else int(value)
