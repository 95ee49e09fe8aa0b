"""Deletes sessions that have ended, with all that is about them, a little at a time.

A session leaves in one transaction, with what is little: from then on nobody finds it. Its calls, tool calls and scores
follow in steps of bounded size, however many they are. That they are still to go is in the store (`leaving`), and so is
which nodes and blobs they named (`loose_node`, `loose_blob`): a process that is killed in between leaves a store that
lacks nothing and holds nothing that the next round does not find. Nodes and blobs are shared; `sweeping` finds out
which of them nobody needs any more.

Blocking, as the store is. Who runs this sets the pace: each step is one transaction, and between them others write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Select,
    Table,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    tuple_,
    union,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from drawbar.record import schema
from drawbar.record.fence import Fence, Steps
from drawbar.record.filter import Filter
from drawbar.record.filter_sql import expression
from drawbar.record.freed import Freed, Pace
from drawbar.record.select import SESSIONS
from drawbar.record.store import Store
from drawbar.record.sweeping import GONE, Sweep

SCORING: Final = 7 * 86400.0
"""Seconds for which a session waits for the live scoring that it is due. After them, no gateway scores it any more."""
RUNNING: Final = 86400.0
"""Seconds after its end for which a rollout stays whose run still goes on: it may be scored now."""
_LEAST_SESSIONS: Final = 20
_MOST_SESSIONS: Final = 100
_LEAST_ROWS: Final = 200
_MOST_ROWS: Final = 2_000
_LITTLE: Final = (schema.health, schema.summary, schema.live_scoring, schema.newest_score, schema.label)
"""What goes with the session itself: a few rows of each, in the order in which writers write them."""
_MUCH: Final = (schema.call, schema.tool_call, schema.score)
_NODES: Final = ("request", "reply")
_BLOBS: Final = ("reply_body", "tools", "request_envelope", "response_envelope")
"""The columns of a call that name nodes and blobs."""


class Pruning:
    """One round. `freed` grows as it goes."""

    def __init__(self, store: Store, *, now: Callable[[], float] = time.time) -> None:
        self.freed = Freed()
        self.pace = Pace(_LEAST_ROWS, _MOST_ROWS)
        self._leaving = Pace(_LEAST_SESSIONS, _MOST_SESSIONS)
        self._store = store
        self._fence = Fence(store, self.pace)
        self._now = now
        self.sweep = Sweep(store, self.freed, self.pace, now)

    def steps(self, filters: Sequence[Filter]) -> Iterator[float]:
        """Delete what the filters mean and may go, what earlier rounds have left, and what nobody needs then. After
        each step: for how many seconds it held the store.

        Raises:
            StoreError: the store cannot be written; what was done stays done.
        """
        for filter in filters:
            yield from self._leave(filter)
            yield from self._clear()
        yield from self._clear()
        yield from self.sweep.steps()

    def _leave(self, filter: Filter) -> Iterator[float]:
        session, last = schema.session, None
        while True:
            chosen = self._chosen(filter).order_by(session.c.ended, session.c.id).limit(self._leaving.rows)
            if last is not None:
                chosen = chosen.where(tuple_(session.c.ended, session.c.id) > last)
            with self._store.reading() as connection:
                page = connection.execute(chosen).all()
            if not page:
                return
            with self._leaving.timed():
                self._let_go(self._chosen(filter).where(session.c.id.in_([row.id for row in page])))
            last = tuple_(literal(page[-1].ended), literal(page[-1].id))
            yield self._leaving.seconds
            yield from self._clear()

    def _chosen(self, filter: Filter) -> Select[Any]:
        session = schema.session
        chosen = select(session.c.id, session.c.run, session.c.ended).select_from(SESSIONS)
        return chosen.where(may_go(self._now()), expression(filter.condition))

    def _let_go(self, chosen: Select[Any]) -> None:
        """Take these sessions out, if they may still go."""
        with self._store.writing() as connection:
            found = connection.execute(chosen.with_for_update(of=schema.session, skip_locked=True)).all()
            ids = [row.id for row in found]
            if not ids:
                return
            said = _last_said(connection, ids)
            rows = [{"session": row.id, "since": max(row.ended, said.get(row.id, 0.0)), "sweep": ""} for row in found]
            connection.execute(_insert(connection, schema.leaving).on_conflict_do_nothing(), rows)
            for table in _LITTLE:
                connection.execute(delete(table).where(table.c.session.in_(ids)))
            connection.execute(delete(schema.session).where(schema.session.c.id.in_(ids)))
            _drop_empty_runs(connection, {row.run for row in found if row.run is not None})
        self.freed.sessions += len(ids)

    def _clear(self) -> Iterator[float]:
        """Delete what is left of sessions that are no longer there."""
        leaving = schema.leaving
        oldest = select(leaving.c.session, leaving.c.since).where(leaving.c.sweep == "").order_by(leaving.c.since)
        while True:
            with self._store.reading() as connection:
                left = connection.execute(oldest.limit(_MOST_SESSIONS)).all()
            if not left:
                return
            yield from self._clear_some([row.session for row in left], max(row.since for row in left))

    def _clear_some(self, sessions: Sequence[str], since: float) -> Steps[None]:
        """A step's worth of rows of these sessions: what calls name is loose before they go."""
        limit = self.pace.rows
        with self._store.reading() as connection:
            parts = {table: _first(connection, table, sessions, limit) for table in _MUCH}
        calls, _ = parts[schema.call]
        for table, loosen in ((schema.loose_blob, _loosen_blobs), (schema.loose_node, _loosen_nodes)):

            def note(connection: Connection, loosen: Callable[..., None] = loosen) -> None:
                loosen(connection, calls, since)

            yield from self._fence.run(table, note)
        with self.pace.timed(), self._store.writing() as connection:
            leaving = schema.leaving
            ours = select(leaving.c.session).where(leaving.c.session.in_(sessions), leaving.c.sweep == "")
            ours = ours.order_by(leaving.c.session).with_for_update(skip_locked=True)
            if len(connection.execute(ours).all()) == len(sessions):  # or else another one is at it
                self._delete(connection, {table: rows for table, (rows, _) in parts.items()})
                if all(complete for _, complete in parts.values()):
                    gone = update(leaving).where(leaving.c.session.in_(sessions))
                    connection.execute(gone.values(sweep=GONE))
        yield self.pace.seconds

    def _delete(self, connection: Connection, rows: Mapping[Table, ColumnElement[bool]]) -> None:
        tool_call = schema.tool_call
        bodies = (func.coalesce(func.length(tool_call.c[name]), 0) for name in ("arguments", "result", "shown"))
        size = select(func.coalesce(func.sum(sum(bodies, literal(0))), 0)).where(rows[tool_call])
        self.freed.bytes += int(connection.execute(size).scalar_one())
        self.freed.calls += _deleted(connection, schema.call, rows[schema.call])
        self.freed.tool_calls += _deleted(connection, tool_call, rows[tool_call])
        self.freed.scores += _deleted(connection, schema.score, rows[schema.score])


@dataclass(frozen=True, slots=True)
class Planned:
    """What filters mean."""

    sessions: int
    """That may go; with their calls and tool calls."""
    calls: int
    tool_calls: int
    staying: int
    """Sessions that may not: they are open, or somebody is still to score them."""


def planned(store: Store, filters: Sequence[Filter], now: float) -> Planned:
    """What a round would delete; of each session that several filters mean, several times."""
    found = [0, 0, 0, 0]
    for filter in filters:
        meant = select(schema.session.c.id).select_from(SESSIONS).where(expression(filter.condition))
        going = meant.where(may_go(now))
        stays = or_(not_(may_go(now)), schema.session.c.ended.is_(None))
        of_going = (select(func.count()).where(table.c.session.in_(going)) for table in (schema.call, schema.tool_call))
        counts = (_count(going), *of_going, _count(meant.where(stays)))
        with store.reading() as connection:
            found = [
                known + int(connection.execute(count).scalar_one()) for known, count in zip(found, counts, strict=True)
            ]
    return Planned(*found)


def _count(query: Select[Any]) -> Select[Any]:
    return select(func.count()).select_from(query.subquery())


def may_go(now: float) -> ColumnElement[bool]:
    """Which sessions may be deleted at all: those that have ended, and that nobody is still to score."""
    session, live_scoring, run = schema.session, schema.live_scoring, schema.run
    due = exists().where(live_scoring.c.session == session.c.id, schema.DUE, live_scoring.c.created > now - SCORING)
    running = exists().where(run.c.id == session.c.run, run.c.status == "running", session.c.ended > now - RUNNING)
    return and_(session.c.status == "ended", session.c.ended.is_not(None), not_(due), not_(running))


def _last_said(connection: Connection, sessions: Sequence[str]) -> dict[str, float]:
    """When each session's last call was over. A live session may have been told its end long after it."""
    call = schema.call
    last = func.max(func.coalesce(call.c.ended, call.c.started))
    query = select(call.c.session, last).where(call.c.session.in_(sessions)).group_by(call.c.session)
    return {row[0]: row[1] for row in connection.execute(query)}


def _drop_empty_runs(connection: Connection, runs: set[str]) -> None:
    """Of runs that are over, those of which no session is left."""
    run, session = schema.run, schema.session
    empty = ~exists().where(session.c.run == run.c.id)
    connection.execute(delete(run).where(run.c.id.in_(sorted(runs)), run.c.status != "running", empty))


def _first(
    connection: Connection, table: Table, sessions: Sequence[str], limit: int
) -> tuple[ColumnElement[bool], bool]:
    """So many rows of these sessions, and whether these are all."""
    of = table.c.session.in_(sessions)
    query = select(table.c.id).where(of).order_by(table.c.session, table.c.id).limit(limit)
    ids = list(connection.execute(query).scalars())
    return and_(of, table.c.id.in_(ids)), len(ids) < limit


def _deleted(connection: Connection, table: Table, rows: ColumnElement[bool]) -> int:
    gone: CursorResult[Any] = connection.execute(delete(table).where(rows))
    return gone.rowcount


def _loosen_nodes(connection: Connection, calls: ColumnElement[bool], since: float) -> None:
    """Note the nodes that these calls need: they may be the last who do."""
    node, call = schema.node, schema.call
    leaves = union(*(select(call.c[name]).where(calls) for name in _NODES))
    walk = select(node.c.id, node.c.parent).where(node.c.id.in_(leaves)).cte("walk", recursive=True)
    walk = walk.union(select(node.c.id, node.c.parent).join(walk, node.c.id == walk.c.parent))
    _add(connection, schema.loose_node, select(walk.c.id), walk.c.id, since)


def _loosen_blobs(connection: Connection, calls: ColumnElement[bool], since: float) -> None:
    blob, call = schema.blob, schema.call
    bodies = union(*(select(call.c[name]).where(calls) for name in _BLOBS))
    _add(connection, schema.loose_blob, select(blob.c.digest).where(blob.c.digest.in_(bodies)), blob.c.digest, since)


def _add(connection: Connection, loose: Table, found: Select[Any], key: ColumnElement[bytes], since: float) -> None:
    rows = found.add_columns(literal(since), literal("")).where(true()).order_by(key)
    insert = _insert(connection, loose).from_select(loose.columns.keys(), rows)
    later = case((loose.c.since > insert.excluded.since, loose.c.since), else_=insert.excluded.since)
    change = {"since": later, "sweep": ""}
    connection.execute(insert.on_conflict_do_update(index_elements=list(loose.primary_key), set_=change))


def _insert(connection: Connection, table: Table) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
