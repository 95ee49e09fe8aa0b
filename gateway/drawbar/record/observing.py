"""What live traffic comes to now: means of its newest scores, shares of its newest calls, what it cost.

Live sessions are those of no run. Sessions are looked for by their end, and calls among the sessions that are open or
ended late enough, so that a look costs what it looks at, whatever the store holds. Scores of different versions of a
rubric are never in one mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Column, Connection, Select, and_, case, false, func, literal, not_, or_, select, true, union_all

from drawbar.record.filter import Filter
from drawbar.record.filter_columns import HEALTH, REWARD
from drawbar.record.filter_places import Holds, Value
from drawbar.record.filter_sql import expression
from drawbar.record.schema import OPEN_LIVE, call, newest_score, session, tool_call
from drawbar.record.select import SESSIONS, newest_rubric

FIRST_SPAN: Final = 60.0
"""Seconds that are looked back first for the last calls; doubled until there are enough."""
_LONGEST_OPENED: Final = 86400.0
"""Seconds for which a session that somebody opened, and that has not ended, is taken to be at work."""
LIVE: Final = func.coalesce(session.c.run, literal("")) == literal("")
"""Of no run. Said such that no database looks for them by their run, which most sessions share."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule's measure came to."""

    value: float | None
    """None: there is nothing to measure."""
    count: int = 0
    """Observations."""
    rubric: str | None = None
    """The version of the rubric whose scores they are."""
    others: int = 0
    """Sessions that were left out because they have scores of another version."""


@dataclass(frozen=True, slots=True)
class Among:
    """What is looked at."""

    filter: Filter
    now: float
    """Unix seconds."""
    since: float
    last: int | None = None
    """The newest of it; None: all."""


def rewards(connection: Connection, among: Among, rubric: str | None) -> Seen:
    """The mean reward of sessions."""
    return _mean(connection, among, REWARD, newest_rubric(), rubric)


def scores(connection: Connection, among: Among, name: str, rubric: str | None) -> Seen:
    """The mean of one score of sessions."""
    mine = and_(newest_score.c.session == session.c.id, newest_score.c.feedback == false(), newest_score.c.name == name)
    return _mean(connection, among, _of_score(newest_score.c.value, mine), newest_rubric(), rubric)


def feedback(connection: Connection, among: Among, name: str | None) -> Seen:
    """The mean of what people said of sessions, of this name or of all."""
    mine = and_(newest_score.c.session == session.c.id, newest_score.c.feedback == true())
    if name is not None:
        mine = and_(mine, newest_score.c.name == name)
    return _mean(connection, among, _of_score(func.avg(newest_score.c.value), mine), literal(""), None)


def defects(connection: Connection, among: Among) -> Seen:
    """The share of sessions with a defect in their record, of those that were looked at."""
    share = case((HEALTH == "unknown", None), (HEALTH == "defect", 1.0), else_=0.0)
    return _mean(connection, among, share, literal(""), None)


def _of_score(value: Value, mine: Holds) -> Value:
    return select(value).where(mine).correlate(session).scalar_subquery()


def _mean(connection: Connection, among: Among, value: Value, version: Value, rubric: str | None) -> Seen:
    """Of sessions that have the value: of those with the version that most of them have, of several the newest."""
    each = select(value.label("value"), version.label("version"), session.c.ended.label("ended"))
    each = each.select_from(SESSIONS).where(LIVE, session.c.ended >= among.since, value.is_not(None))
    each = each.where(expression(among.filter.condition))
    if rubric is not None:
        each = each.where(version.startswith(rubric, autoescape=True))
    if among.last is not None:
        each = each.order_by(session.c.ended.desc(), session.c.id.desc()).limit(among.last)
    of = each.subquery()
    sums = select(of.c.version, func.count(), func.sum(of.c.value), func.max(of.c.ended)).group_by(of.c.version)
    groups = sorted(connection.execute(sums).all(), key=lambda row: (row[1], row[3]))
    if not groups:
        return Seen(value=None)
    name, count, total, _ = groups[-1]
    others = sum(row[1] for row in groups[:-1])
    return Seen(value=total / count, count=count, rubric=name or None, others=others)


def failed_calls(connection: Connection, among: Among) -> Seen:
    """The share of model calls that were not answered; calls that their clients left, or that ended because a gateway
    was stopped, count neither way."""
    stopped = func.coalesce(call.c.cause, "") == "cancelled"
    over = and_(call.c.ended.is_not(None), call.c.status != "abandoned", not_(stopped))
    return _share(connection, among, call, over, call.c.status != "answered")


def failed_tool_calls(connection: Connection, among: Among) -> Seen:
    """The share of tool calls that were not answered, or whose tool says that it failed; without those that were
    cancelled."""
    over = and_(tool_call.c.ended.is_not(None), tool_call.c.status != "cancelled")
    return _share(connection, among, tool_call, over, or_(tool_call.c.is_error, tool_call.c.status != "answered"))


def _share(connection: Connection, among: Among, table: Any, over: Holds, failed: Holds) -> Seen:
    found = Seen(value=None)
    for since in _further(among):
        each = _calls(table, among, since).where(over).add_columns(case((failed, 1.0), else_=0.0).label("failed"))
        if among.last is not None:
            each = each.order_by(table.c.started.desc(), table.c.id.desc()).limit(among.last)
        of = each.subquery()
        count, share = connection.execute(select(func.count(), func.avg(of.c.failed))).one()
        found = Seen(value=None if share is None else float(share), count=count)
        if among.last is not None and count >= among.last:
            break
    return found


def _further(among: Among) -> Iterator[float]:
    """From when on is looked: further and further back, where only the last ones are wanted."""
    if among.last is not None:
        span = FIRST_SPAN
        now = among.now
        while now - span > among.since:
            yield now - span
            span *= 2
    yield among.since


def cost(connection: Connection, among: Among) -> Seen:
    """US dollars of the calls that ended since; nothing is 0."""
    each = _calls(call, among, among.since).add_columns(call.c.cost.label("cost")).subquery()
    count, total = connection.execute(select(func.count(), func.sum(each.c.cost))).one()
    return Seen(value=float(total or 0.0), count=count)


def _calls(table: Any, among: Among, since: float) -> Select[Any]:
    """Calls of live sessions that ended since: they are of sessions that are at work or ended since."""
    opened = and_(not_(OPEN_LIVE), session.c.status == "open", session.c.started >= since - _LONGEST_OPENED)
    which = (session.c.ended >= since, OPEN_LIVE, opened)
    at_work = union_all(*(select(session.c.id).where(LIVE, each) for each in which))
    ended: Column[Any] = table.c.ended
    query = select(table.c.id, table.c.started).select_from(SESSIONS.join(table, table.c.session == session.c.id))
    return query.where(session.c.id.in_(at_work), ended >= since, expression(among.filter.condition))
