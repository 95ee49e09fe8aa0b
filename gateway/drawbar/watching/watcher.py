"""Looks at a store again and again, and tells what has changed. Each look costs by what is open and what is new, never
by what the store holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, select

from drawbar.record import schema
from drawbar.record.filter import Filter, where
from drawbar.record.filter_sql import expression
from drawbar.record.packing import unpacked
from drawbar.record.select import SESSIONS
from drawbar.record.store import Store
from drawbar.watching.changes import Change, Gone, Pulse, RecorderState, Watched
from drawbar.watching.ledger import Ledger, Sum
from drawbar.watching.marks import Labels, Marks, Scored
from drawbar.watching.tempo import Rewards, Tempo

OPEN: Final = 1000
"""Open sessions that are watched, the newest; the others are counted alone."""
ENDED: Final = 50
"""Sessions that ended last, and are watched on: their scores and people's feedback come later."""
_BURST: Final = 500
"""Ended sessions that one look takes in."""
_AMONG: Final = 5000
"""Of so many that ended last, those that a filter means are looked for."""
_AGAIN: Final = 10.0, 300.0
"""Seconds before the last end that are looked at again: gateways' clocks differ. The second with a filter: what it asks
for (a reward) may come later than the end."""

_SESSION: Final = schema.session
_COLUMNS: Final = (
    "id", "run", "environment", "task_key", "harness", "model", "metadata", "origin", "status", "stop", "started",
    "ended",
)  # fmt: skip


class _Row(NamedTuple):
    """A session's row, as far as it is shown."""

    id: str
    run: str | None
    environment: str | None
    task_key: str | None
    harness: str | None
    model: str | None
    metadata: bytes
    origin: str
    status: str
    stop: str | None
    started: float
    ended: float | None


class _Summary(NamedTuple):
    """What an ended session comes to, as far as it is shown."""

    session: str
    turns: int
    calls: int
    tool_calls: int
    tool_errors: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    model: str | None
    health: str
    findings: str


class Watcher:
    """What a filter means of one store, as it changes. For one thread at a time.

    Raises:
        ConfigurationError: the filter says nothing.
    """

    def __init__(
        self, store: Store, text: str = "", *, ended: int = ENDED, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._text = text
        self._filter()
        self._most_ended = ended
        self._now = now
        self._ledger = Ledger()
        self._marks = Marks()
        self._tempo = Tempo(now())
        self._rewards = Rewards()
        self._ended: dict[str, _Row] = {}
        self._taken: dict[str, float] = {}
        """When sessions ended that were taken in already, as far back as is looked again."""
        self._last: float | None = None
        """When the last of them ended; None: nobody has looked yet."""
        self._summaries: dict[str, _Summary] = {}
        self._told: dict[str, Watched] = {}
        self._made: dict[str, tuple[Any, ...]] = {}
        """What each view was made of."""

    def look(self, recorder: RecorderState | None = None) -> list[Change]:
        """What has changed since the last look; a `Pulse` at its end, with what a gateway's recorder told of itself.

        Raises:
            StoreError: the store cannot be read now.
        """
        now, condition = self._now(), self._filter()
        with self._store.reading() as connection:
            rows = list(self._open(connection, condition))
            count = len(rows) if len(rows) < OPEN else _count_open(connection, condition)
            fresh = self._take_ended(connection, condition)
            self._read_summaries(connection)
            sums = self._read_calls(connection, [row.id for row in rows], fresh, now)
            scores = self._marks.of(connection, self._ended)
        views = [self._view(row, sums.get(row.id, Sum()), scores) for row in (*rows, *self._ended.values())]
        changes: list[Change] = [view for view in views if self._told.get(view.id) != view]
        there = {view.id: view for view in views}
        changes += [Gone(id=id) for id in self._told if id not in there]
        self._told = there
        self._made = {id: made_of for id, made_of in self._made.items() if id in there}
        for view in views:
            if view.status == "ended":
                self._rewards.note(view.id, view.rubric, view.reward)
        under_way = sum(sums[row.id].under_way for row in rows if row.id in sums)
        return [*changes, self._pulse(now, count, under_way, recorder)]

    def _filter(self) -> ColumnElement[bool] | None:
        """The condition; times in it (`started > 1h`) are seen from this moment."""
        found: Filter = where(self._text)
        return None if found.condition is None else expression(found.condition)

    def _open(self, connection: Connection, condition: ColumnElement[bool] | None) -> list[_Row]:
        query = _sessions(condition).where(schema.OPEN)
        query = query.order_by(_SESSION.c.started.desc(), _SESSION.c.id.desc()).limit(OPEN)
        return list(map(_Row._make, connection.execute(query)))

    def _take_ended(self, connection: Connection, condition: ColumnElement[bool] | None) -> set[str]:
        """Take in those that ended since the last look, and forget those before; the ids of those that are new."""
        since = (self._last or 0.0) - _AGAIN[condition is not None]
        newest = select(_SESSION.c.id).where(_SESSION.c.ended >= since)
        newest = newest.order_by(_SESSION.c.ended.desc(), _SESSION.c.id.desc())
        limit = self._most_ended if self._last is None else _BURST
        among = newest.limit(limit if condition is None else _AMONG).subquery()
        query = _sessions(condition).where(_SESSION.c.id.in_(select(among.c.id)))
        found = map(_Row._make, connection.execute(query.order_by(_SESSION.c.ended.desc()).limit(limit)))
        fresh = {row.id: row for row in found if row.id not in self._taken}
        ends = self._taken | {id: row.ended or 0.0 for id, row in fresh.items()}
        self._last = max(ends.values(), default=0.0)
        self._taken = {id: end for id, end in ends.items() if end >= self._last - max(_AGAIN)}
        if condition is not None:
            self._forget_unmeant(connection, condition)
        by_end = sorted((*self._ended.values(), *fresh.values()), key=lambda row: row.ended or 0.0, reverse=True)
        self._ended = {row.id: row for row in by_end[: self._most_ended]}
        return set(fresh)

    def _forget_unmeant(self, connection: Connection, condition: ColumnElement[bool]) -> None:
        """Those that the filter meant, and does not mean any more."""
        query = select(_SESSION.c.id).select_from(SESSIONS).where(_SESSION.c.id.in_(list(self._ended)), condition)
        meant = set(connection.execute(query).scalars())
        self._ended = {id: row for id, row in self._ended.items() if id in meant}

    def _read_summaries(self, connection: Connection) -> None:
        """What the ended ones come to; it is written a moment after their end."""
        self._summaries = {id: found for id, found in self._summaries.items() if id in self._ended}
        wanted = [id for id in self._ended if id not in self._summaries]
        if wanted:
            columns = [schema.summary.c[name] for name in _Summary._fields]
            query = select(*columns).where(schema.summary.c.session.in_(wanted))
            self._summaries |= {row.session: row for row in map(_Summary._make, connection.execute(query))}

    def _read_calls(self, connection: Connection, open: Sequence[str], fresh: set[str], now: float) -> dict[str, Sum]:
        """What calls come to: of open sessions, of ended ones that have no summary yet, and of those that have just
        ended: their last calls are still to be counted."""
        unsummed = [id for id in self._ended if id not in self._summaries]
        asked = dict.fromkeys((*open, *unsummed, *fresh))
        self._tempo.add(self._ledger.read(connection, list(asked), now))
        sums = self._ledger.close(now)
        self._ledger.keep((*open, *unsummed))
        return sums

    def _view(self, row: _Row, sum: Sum, scores: Marks) -> Watched:
        """A session as it is now; what it is made of is mostly what it was made of before."""
        made_of = row, sum, self._summaries.get(row.id), scores.scores(row.id)
        before = self._told.get(row.id)
        if before is None or self._made.get(row.id) != made_of:
            before, self._made[row.id] = self._viewed(*made_of, scores.labels(row.metadata)), made_of
        return before

    def _viewed(self, row: _Row, sum: Sum, summary: _Summary | None, found: Scored, labels: Labels) -> Watched:
        of: Any = summary or sum
        return Watched(
            id=row.id, run=row.run, environment=row.environment, task=row.task_key, agent=row.harness,
            model=row.model or of.model, origin=row.origin, user=labels.user, release=labels.release, tags=labels.tags,
            status=row.status, stop=row.stop, started=row.started, ended=row.ended,
            heard=row.ended if row.status == "ended" else sum.heard, doing=_doing(row, sum),
            turns=of.turns, calls=of.calls, failed_calls=of.calls - of.turns - (0 if summary else sum.under_way),
            tool_calls=of.tool_calls, tool_errors=of.tool_errors,
            prompt_tokens=of.prompt_tokens, completion_tokens=of.completion_tokens, cost=of.cost,
            reward=found.reward, rubric=found.rubric, scores=found.scores, feedback=found.feedback,
            health=summary.health if summary else "unknown", findings=unpacked(summary.findings) if summary else [],
        )  # fmt: skip

    def _pulse(self, now: float, open: int, under_way: int, recorder: RecorderState | None) -> Pulse:
        per_second, error_rate, window = self._tempo.rates(now)
        return Pulse(
            time=now, open=open, under_way=under_way, per_second=per_second, error_rate=error_rate, window=window,
            rewards=self._rewards.means(), recorder=recorder,
        )  # fmt: skip


def _sessions(condition: ColumnElement[bool] | None) -> Select[Any]:
    query = select(*(_SESSION.c[name] for name in _COLUMNS))
    return query if condition is None else query.select_from(SESSIONS).where(condition)


def _count_open(connection: Connection, condition: ColumnElement[bool] | None) -> int:
    query = select(func.count()).where(schema.OPEN)
    query = query.select_from(_SESSION) if condition is None else query.select_from(SESSIONS).where(condition)
    return int(connection.execute(query).scalar_one())


def _doing(row: _Row, sum: Sum) -> str | None:
    if row.status != "open":
        return None
    return f"tool {sum.running}" if sum.running is not None else "model" if sum.under_way else None
