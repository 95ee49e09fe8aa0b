"""The store: one database with everything that was recorded. Blocking; async callers go through the recorder or a
thread.

This layer knows SQL and rows. It knows nothing of HTTP, MCP or the event loop, and of dialects only how to ask one
for the normal form of a message when a session is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from sqlalchemy import URL, ColumnElement, Connection, Engine, exists, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from zstandard import ZstdError

from drawbar.errors import StoreError, UnknownName
from drawbar.record import database, health, load, migrations, schema, select_groups, view
from drawbar.record import select as select_
from drawbar.record.filter import EVERYTHING, Filter
from drawbar.record.rows import (
    AnswerRow,
    HealthRow,
    LiveScoringRow,
    Row,
    RunRow,
    ScoreRow,
    SessionRow,
    ToolCallRow,
)
from drawbar.record.select import Clause, Overview
from drawbar.record.select_groups import By, Sums
from drawbar.record.writer import Writer
from drawbar.trajectory import Finding, Trajectory
from drawbar.wire.dialect import Dialect

T = TypeVar("T")


_ALIKE: Final = 100
"""Sessions that began alike, and messages, that are looked at to find a conversation."""


class Store:
    """One store, open. Any number of threads may use it, and any number of processes may have it open."""

    def __init__(self, url: URL, engine: Engine, *, dialects: Mapping[str, Dialect] | None = None) -> None:
        self.url = database.shown(url)
        """Where it is, without a password."""
        self._url = url
        self._engine = engine
        self._writer = Writer(engine, url)
        self._reader = load.SessionReader(engine.dialect)
        self._dialects = dialects

    @classmethod
    def open(cls, url: str | Path, *, read_only: bool = False, dialects: Mapping[str, Dialect] | None = None) -> Self:
        """Open the store at a path, `sqlite:///path` or `postgresql://user@host/database`; make it if there is none.

        `dialects` reads messages into normal form; left out, those of `drawbar.wire`.

        Raises:
            ConfigurationError: the URL means nothing, or its driver is not installed.
            StoreVersionError: a newer drawbar wrote it.
            StoreError: it cannot be opened or made.
        """
        parsed = database.parse(url)
        engine = database.make_engine(parsed, read_only=read_only)
        store = cls(parsed, engine, dialects=dialects)
        try:
            with store._translating():
                store._check() if read_only else store._prepare()
        except BaseException:
            store.close()
            raise
        return store

    def _prepare(self) -> None:
        if self._engine.dialect.name == "sqlite":
            database.use_write_ahead_log(self._engine)
        with self.preparing() as connection:
            migrations.prepare(connection)

    @contextmanager
    def preparing(self) -> Iterator[Connection]:
        """One transaction in which nobody else makes or migrates the store."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            database.lock_schema(connection)
            yield connection

    def _check(self) -> None:
        with self._engine.connect() as connection:
            version = migrations.stored_version(connection)
        if version is None:
            raise StoreError(f"There is no store in {self.url}. `drawbar run` makes one; --store names another.")
        migrations.refuse_newer(version)
        if version < schema.VERSION:
            raise StoreError(
                f"The store {self.url} has schema version {version}. "
                f"Open it once for writing (`drawbar run`, `drawbar serve`) to bring it to {schema.VERSION}."
            )

    def close(self) -> None:
        """Let go of every connection. Closing twice does nothing."""
        self._writer.close()
        self._engine.dispose()

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows in one transaction; durable when it returns. Of several rows with one id the last counts.

        Raises:
            StoreError: nothing was written; the message says why.
        """
        self._writer.write(rows)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        dbapi: Any = self._engine.dialect.loaded_dbapi
        try:
            yield
        except (SQLAlchemyError, ZstdError, dbapi.Error) as error:
            raise database.translated(error, self._url, dbapi) from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translating(), self._engine.connect() as connection:
            yield connection

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection for what this file has no question for. Raises `StoreError` where it fails."""
        return self._reading()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction for what must be asked and written at once. Within this process it and the writer's take
        turns, so that neither has to try again and again. Raises `StoreError` where it fails."""
        opened = self._engine.connect().execution_options(writes=True)
        with self._writer.waiting(), self._translating(), opened as connection, connection.begin():
            yield connection

    def space(self) -> tuple[int, int] | None:
        """The bytes of a SQLite file, and how many of them are free for what comes; None for another database."""
        with self._translating():
            return database.space(self._engine)

    def rebuild(self) -> None:
        """Make a SQLite file as small as what is in it. Nobody can write meanwhile. Raises `StoreError`."""
        with self._writer.waiting(), self._translating():
            database.rebuild(self._engine)

    def session(self, id: str) -> SessionRow | None:
        """The session of this id."""
        return self._session(schema.session.c.id == id)

    def session_by_key(self, key_digest: bytes) -> SessionRow | None:
        """The newest session whose key has this digest."""
        return self._session(schema.session.c.key_digest == key_digest)

    def _session(self, condition: ColumnElement[bool]) -> SessionRow | None:
        with self._reading() as connection:
            query = select(schema.session).where(condition).order_by(schema.session.c.started.desc()).limit(1)
            return next(load.structs(connection, SessionRow, query), None)

    def sessions(
        self, *, run: str | None = None, status: str | None = None, limit: int | None = None
    ) -> list[SessionRow]:
        """Sessions, the newest first."""
        table = schema.session
        query = select(table).order_by(table.c.started.desc(), table.c.id.desc()).limit(limit)
        if run is not None:
            query = query.where(table.c.run == run)
        if status is not None:
            query = query.where(table.c.status == status)
        with self._reading() as connection:
            return list(load.structs(connection, SessionRow, query))

    def select(
        self, filter: Filter = EVERYTHING, *, limit: int | None = None, newest_first: bool = True
    ) -> Iterator[SessionRow]:
        """The sessions that a filter means (`drawbar.record.filter.where`), read page by page as they are asked for."""
        yield from self._paged(select_.rows, filter, limit, newest_first)

    def overview(
        self, filter: Filter = EVERYTHING, *, limit: int | None = None, newest_first: bool = True
    ) -> Iterator[Overview]:
        """The same, each with what it comes to, without its task."""
        yield from self._paged(select_.overviews, filter, limit, newest_first)

    def _paged(
        self,
        read: Callable[[Connection, Filter, T | None, int, bool], Iterable[T]],
        filter: Filter,
        limit: int | None,
        newest: bool,
    ) -> Iterator[T]:
        left, last = limit, None
        while left is None or left > 0:
            size = select_.PAGE if left is None else min(left, select_.PAGE)
            with self._reading() as connection:
                page = list(read(connection, filter, last, size, newest))
            yield from page
            if len(page) < size:
                return
            left, last = None if left is None else left - size, page[-1]

    def count(self, filter: Filter = EVERYTHING) -> int:
        """How many sessions a filter means."""
        with self._reading() as connection:
            return select_.count(connection, filter)

    def sums(self, by: Sequence[By] = (), filter: Filter = EVERYTHING) -> list[Sums]:
        """The sessions that a filter means, added up by columns (`drawbar.record.select_groups`)."""
        with self._reading() as connection:
            return list(select_groups.sums(connection, filter, by))

    def rubrics(self, run: str) -> dict[str, int]:
        """The rubric versions that scored sessions of a run, and how many; of as many the one that came last first."""
        score, session = schema.score, schema.session
        count, last = func.count(score.c.session.distinct()), func.max(score.c.created)
        query = select(score.c.rubric_version, count).join(session, session.c.id == score.c.session)
        query = query.where(session.c.run == run, score.c.kind != "feedback").group_by(score.c.rubric_version)
        with self._reading() as connection:
            found = connection.execute(query.order_by(count.desc(), last.desc()))
            return {row[0]: row[1] for row in found}

    def scores(self, sessions: Sequence[str]) -> dict[str, list[ScoreRow]]:
        """Every score of these sessions (some hundred at most), by session, as they came."""
        score, found = schema.score, defaultdict[str, list[ScoreRow]](list)
        query = select(score).where(score.c.session.in_(sessions)).order_by(score.c.created, score.c.id)
        with self._reading() as connection:
            for row in load.structs(connection, ScoreRow, query):
                found[row.session].append(row)
        return found

    def explain(self, filter: Filter) -> list[Clause]:
        """How many sessions each clause of a filter leaves: for one that means none."""
        with self._reading() as connection:
            return select_.explain(connection, filter)

    def answers(self, name: str, limit: int = 20) -> list[AnswerRow]:
        """The answers that a provider called so, the newest first."""
        table = schema.answer
        query = select(table).where(table.c.name == name).order_by(table.c.call.desc()).limit(limit)
        with self._reading() as connection:
            return list(load.structs(connection, AnswerRow, query))

    def labelled(self, names: Sequence[str], value: str, limit: int = 20) -> list[SessionRow]:
        """The sessions whose metadata say this under one of these names, the newest first."""
        session, label = schema.session, schema.label
        ids = select(label.c.session).where(label.c.name.in_(names), label.c.value == value)
        query = select(session).where(session.c.id.in_(ids)).order_by(session.c.started.desc()).limit(limit)
        with self._reading() as connection:
            return list(load.structs(connection, SessionRow, query))

    def due(self, rubrics: Collection[str], now: float, limit: int) -> list[LiveScoringRow]:
        """What these rubrics have still to look at, and nobody does, the oldest first."""
        table = schema.live_scoring
        query = (
            select(table)
            .where(schema.DUE, table.c.taken < now, table.c.rubric.in_(rubrics))
            .order_by(table.c.created)
            .limit(limit)
        )
        with self._reading() as connection:
            return list(load.structs(connection, LiveScoringRow, query))

    def take(self, session: str, rubric: str, now: float, until: float) -> bool:
        """Whether this is ours to score, until then; of several that ask, one is told so."""
        table = schema.live_scoring
        key = table.c.session == session, table.c.rubric == rubric
        statement = update(table).where(*key, schema.DUE, table.c.taken < now).values(taken=until)
        with self.writing() as connection:
            return connection.execute(statement).rowcount == 1

    @property
    def shared(self) -> bool:
        """Whether other machines may use it too."""
        return self._engine.dialect.name != "sqlite"

    def tool_calls(self, session: str) -> list[ToolCallRow]:
        """A session's tool calls, in the order in which they began."""
        table = schema.tool_call
        query = select(table).where(table.c.session == session).order_by(table.c.started, table.c.id)
        with self._reading() as connection:
            return list(load.structs(connection, ToolCallRow, query))

    def ended_calls(self, session: str) -> list[str]:
        """The ids of a session's calls that are over."""
        call = schema.call
        with self._reading() as connection:
            query = select(call.c.id).where(call.c.session == session, call.c.status != "started")
            return list(connection.execute(query).scalars())

    def conversation(self, key_digest: bytes, path: Sequence[bytes]) -> SessionRow | None:
        """Of the sessions whose key has this digest, the one that has given the latest reply on this path; of several,
        and if none of them has given any, the newest."""
        session, call = schema.session, schema.call
        with self._reading() as connection:
            query = select(session).where(session.c.key_digest == key_digest)
            rows = list(load.structs(connection, SessionRow, query.order_by(session.c.started.desc()).limit(_ALIKE)))
            if len(rows) < 2:
                return rows[0] if rows else None
            depth = {node: number for number, node in enumerate(path[-_ALIKE:], start=1)}
            given = select(call.c.session, call.c.reply).where(
                call.c.session.in_([row.id for row in rows]), call.c.reply.in_(list(depth))
            )
            deepest: dict[str, int] = {}
            for id, reply in connection.execute(given):
                deepest[id] = max(deepest.get(id, 0), depth[bytes(reply)])
        return max(rows, key=lambda row: deepest.get(row.id, 0))

    def silent_since(self, time: float) -> list[str]:
        """The live sessions that are open, and have had no call since this time (unix seconds), by id."""
        session, call = schema.session, schema.call
        heard = exists().where(call.c.session == session.c.id, call.c.started >= time)
        query = select(session.c.id).where(schema.OPEN_LIVE, session.c.started < time, ~heard)
        with self._reading() as connection:
            return list(connection.execute(query).scalars())

    def heard_since(self, time: float, limit: int) -> list[SessionRow]:
        """The live sessions that are open, and have had a call since this time, the one that was heard last first."""
        session, call = schema.session, schema.call
        last = func.max(call.c.started)
        heard = (
            select(call.c.session, last.label("at"))
            .where(call.c.session.in_(select(session.c.id).where(schema.OPEN_LIVE)))
            .group_by(call.c.session)
            .having(last >= time)
            .subquery()
        )
        query = select(session).join(heard, heard.c.session == session.c.id).order_by(heard.c.at.desc()).limit(limit)
        with self._reading() as connection:
            return list(load.structs(connection, SessionRow, query))

    def run(self, id: str) -> RunRow | None:
        """The run of this id."""
        with self._reading() as connection:
            return load.first(connection, RunRow, schema.run.c.id == id)

    def runs(self, limit: int | None = 50) -> list[RunRow]:
        """Runs, the newest first."""
        table = schema.run
        query = select(table).order_by(table.c.started.desc(), table.c.id.desc()).limit(limit)
        with self._reading() as connection:
            return list(load.structs(connection, RunRow, query))

    def resolve(self, prefix: str) -> str:
        """The id of the one session or run that begins so.

        Raises:
            UnknownName: none does, or more than one.
        """
        with self._reading() as connection:
            found = load.ids_beginning(connection, prefix)
            if prefix in found:
                return prefix
            if len(found) == 1:
                return found[0]
            known = found or load.newest_ids(connection)
        raise UnknownName(
            "single session or run", prefix, known, "`drawbar runs` lists them; more letters may be needed."
        )

    def findings(self, session_id: str) -> list[Finding] | None:
        """What was not as it should be when the session ended; None: it has not, or nobody has looked yet."""
        with self._reading() as connection:
            row = load.first(connection, HealthRow, schema.health.c.session == session_id)
        return None if row is None else health.from_json(row.findings)

    def trajectory(self, session_id: str) -> Trajectory:
        """One recorded session.

        Raises:
            UnknownName: there is none of this id.
        """
        with self._reading() as connection:
            material = self._reader.read(connection, session_id)
            if material is None:
                raise UnknownName("session", session_id, load.newest_ids(connection))
        return view.trajectory(material, self._known_dialects())

    def trajectories(self, *, run: str) -> Iterator[Trajectory]:
        """Every session of a run, the newest first; each is read when it is asked for."""
        for session in self.sessions(run=run):
            yield self.trajectory(session.id)

    def _known_dialects(self) -> Mapping[str, Dialect]:
        if self._dialects is None:
            from drawbar.wire import DIALECTS

            self._dialects = DIALECTS
        return self._dialects
