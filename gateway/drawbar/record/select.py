"""Sessions that a filter means: page by page, counted, and, where there are none, why.

A page is read by the key at which the last one ended (start and id), so that nothing is read twice, nothing is kept
open between pages, and memory holds one page, whatever the store holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, case, false, func, not_, select, tuple_

from drawbar.record import load, schema
from drawbar.record.filter import Filter
from drawbar.record.filter_columns import HEALTH, MODEL, REWARD, SUMS
from drawbar.record.filter_sql import expression
from drawbar.record.packing import unpacked
from drawbar.record.rows import SessionRow

PAGE: Final = 200
SESSIONS: Final = schema.session.outerjoin(schema.summary, schema.summary.c.session == schema.session.c.id)
"""What every query with a filter is from."""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """A session in one line."""

    id: str
    run: str | None
    environment: str | None
    task: str | None
    rollout: int
    attempt: int
    agent: str | None
    model: str | None
    origin: str
    status: str
    stop: str | None
    started: float
    ended: float | None
    turns: int
    calls: int
    failed_calls: int
    tool_calls: int
    tool_errors: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    reward: float | None
    rubric: str | None
    """The version of the rubric that gave the reward."""
    health: str
    """good | warning | defect | unknown"""
    findings: list[str]


@dataclass(frozen=True, slots=True)
class Clause:
    """One of the conditions of a filter that must all hold."""

    text: str
    alone: int
    """How many sessions meet it."""
    so_far: int
    """How many meet it and all of those before it."""


def rows(
    connection: Connection, filter: Filter, after: SessionRow | None, limit: int, newest: bool
) -> Iterator[SessionRow]:
    """The next sessions that are meant, after this one."""
    query = _ordered(select(schema.session).select_from(SESSIONS), filter, newest).limit(limit)
    if after is not None:
        query = query.where(_beyond(after.started, after.id, newest))
    return load.structs(connection, SessionRow, query)


def overviews(
    connection: Connection, filter: Filter, after: Overview | None, limit: int, newest: bool
) -> Iterator[Overview]:
    """The same, each in one line."""
    session, sums = schema.session.c, (name for name in Overview.__struct_fields__ if name in SUMS)
    named = {
        "task": session.task_key, "agent": session.harness, "model": MODEL, "reward": REWARD, "health": HEALTH,
        "rubric": newest_rubric(), "findings": func.coalesce(schema.summary.c.findings, ""),
        **{name: SUMS[name] for name in sums},
    }  # fmt: skip
    columns = [named[n].label(n) if n in named else session[n] for n in Overview.__struct_fields__]
    query = _ordered(select(*columns).select_from(SESSIONS), filter, newest).limit(limit)
    if after is not None:
        query = query.where(_beyond(after.started, after.id, newest))
    for found in connection.execute(query):
        *values, findings = found
        fields = dict(zip(Overview.__struct_fields__, values, strict=False))
        yield Overview(**fields, findings=unpacked(findings))


def count(connection: Connection, filter: Filter) -> int:
    """How many sessions are meant."""
    query = select(func.count()).select_from(SESSIONS).where(expression(filter.condition))
    return int(connection.execute(query).scalar_one())


def explain(connection: Connection, filter: Filter) -> list[Clause]:
    """How many sessions each clause of the filter leaves: counted in one go, by the first clause that is not met."""
    clauses = filter.clauses
    if not clauses:
        return []
    holds = [func.coalesce(expression(clause), false()).label(f"clause_{n}") for n, clause in enumerate(clauses)]
    each = select(*holds).select_from(SESSIONS).offset(0).subquery()  # a query of its own: see `select_groups`
    first = case(*((not_(held), n) for n, held in enumerate(each.c)), else_=len(clauses)).label("first")
    sums = (func.sum(case((held, 1), else_=0)) for held in each.c)
    found = connection.execute(select(first, func.count(), *sums).group_by("first")).all()
    return [
        Clause(
            clause.text,
            alone=sum(int(alone[n]) for _, _, *alone in found),
            so_far=sum(count for first, count, *_ in found if first > n),
        )
        for n, clause in enumerate(clauses)
    ]


def _ordered(query: Select[Any], filter: Filter, newest: bool) -> Select[Any]:
    columns = (schema.session.c.started, schema.session.c.id)
    order = (column.desc() if newest else column.asc() for column in columns)
    return query.where(expression(filter.condition)).order_by(*order)


def _beyond(started: float, id: str, newest: bool) -> Any:
    here, there = tuple_(schema.session.c.started, schema.session.c.id), tuple_(started, id)
    return here < there if newest else here > there


def newest_rubric() -> Any:
    """The version of the rubric that gave a session's newest scores."""
    score = schema.newest_score
    mine = select(score.c.rubric_version).where(score.c.session == schema.session.c.id, ~score.c.feedback)
    return mine.limit(1).correlate(schema.session).scalar_subquery()
