"""Deletes nodes and blobs that no session needs any more, while others write.

`pruning` notes what sessions needed that are no longer there: it is loose. A sweep marks what has been loose for long
enough, looks through all calls and all nodes for those that need it still, and deletes what is left of the marked.
Whoever looks sees the past, and somebody may begin to need a loose node in just this moment. There are three ways:

- He writes it again, as he would write it for the first time: it is there already, so he takes it off the list in the
  transaction in which he builds on it (`write`). What is not on the list any more is not deleted.
- He wrote it again before it was marked, and his transaction ends after that. In SQLite there is no such thing: writers
  come one after the other. In PostgreSQL, marking and deleting first lock the table against writers, which waits for
  those under way. So what they build on is there to be seen before anybody looks, or off the list before anything goes.
- He remembers that it is stored, and does not write it again. A session remembers its own nodes, and as long as it is
  open it is not pruned. What the sessions of one client remember together is forgotten after `REMEMBERED` seconds
  (`proxy.live`); and what a session needed that said something within `GRACE` seconds is not swept yet. Only rows that
  a gateway has kept for longer than the difference before it could write them, in its queue or its spool, may build on
  what is gone: then the messages before those are missing in that session.

So nothing depends on there being one sweep at a time: a second one marks anew what the first had marked, and the first
deletes none of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    TextClause,
    and_,
    delete,
    exists,
    func,
    literal_column,
    select,
    text,
    true,
    union,
    update,
)

from drawbar.errors import StoreError
from drawbar.ids import new_id
from drawbar.record import schema
from drawbar.record.fence import Fence, Steps
from drawbar.record.freed import Freed, Pace
from drawbar.record.store import Store

REMEMBERED: Final = 3600.0
"""Seconds after which a gateway writes again what several sessions remember to be stored."""
GRACE: Final = 2 * REMEMBERED
"""Seconds since a session said its last for which nobody deletes what only it needed."""
GONE: Final = "gone"
"""Marks a session of which no calls are left; late rows about it may still come."""
_PAGE: Final = 2_000
"""Rows that are looked through at a time."""
_HELD: Final = 300
"""Keys in one statement."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is shared, and what is loose of it."""

    table: Table
    loose: Table
    named: tuple[str, ...]
    """The columns of a call that name it."""

    @property
    def key(self) -> Column[Any]:
        return next(iter(self.loose.primary_key))

    @property
    def stored_key(self) -> Column[Any]:
        return self.table.c[self.key.name]


_NODE: Final = _Kind(schema.node, schema.loose_node, ("request", "reply"))
_BLOB: Final = _Kind(schema.blob, schema.loose_blob, ("reply_body", "tools", "request_envelope", "response_envelope"))


class Sweep:
    """One sweep through a store."""

    def __init__(self, store: Store, freed: Freed, pace: Pace, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._freed = freed
        self._pace = pace
        self._fence = Fence(store, pace)
        self._now = now
        self._mark = new_id("sweep")

    def steps(self) -> Iterator[float]:
        """Mark, look, delete. After each step: for how many seconds it held the store."""
        until = self._now() - GRACE
        marked = 0
        for kind in (_NODE, _BLOB):
            marked += yield from self._mark_ripe(kind, until)
        if (yield from self._mark_sessions()):
            yield from self._late_rows()
        if marked:
            yield from self._look()
            for kind in (_NODE, _BLOB):
                yield from self._delete(kind)
        self._freed.kept_for_now = self._count_loose()

    def _mark_ripe(self, kind: _Kind, until: float) -> Steps[int]:
        """Mark what has been loose for long enough; how much that is."""
        marked = 0
        for within in self._ranges(kind.loose, kind.key):

            def mark(connection: Connection, within: ColumnElement[bool] = within) -> int:
                # Calls of sessions that another one is just about to clear would keep what is loose because of them.
                clearing = exists().where(schema.leaving.c.sweep == "")
                ripe = update(kind.loose).where(within, kind.loose.c.since <= until, ~clearing)
                return connection.execute(ripe.values(sweep=self._mark)).rowcount

            marked += yield from self._fence.run(kind.table, mark)
        return marked

    def _mark_sessions(self) -> Steps[int]:
        leaving = schema.leaving
        with self._pace.timed(), self._store.writing() as connection:
            gone = update(leaving).where(leaving.c.sweep != "").values(sweep=self._mark)
            found = connection.execute(gone).rowcount
        yield self._pace.seconds
        return found

    def _late_rows(self) -> Iterator[float]:
        """What came late about sessions that are gone; and what their answers were called, which is in no order of
        sessions."""
        leaving, answer = schema.leaving, schema.answer
        gone = select(leaving.c.session).where(leaving.c.sweep == self._mark)
        for within in self._ranges(answer, answer.c.name):
            found = select(answer.c.name).where(within, answer.c.session.in_(gone)).distinct()
            with self._store.reading() as connection:
                names = list(connection.execute(found).scalars())
            for at in range(0, len(names), _HELD):
                some = answer.c.name.in_(names[at : at + _HELD]), answer.c.session.in_(gone)
                with self._pace.timed(), self._store.writing() as connection:
                    connection.execute(delete(answer).where(*some))
                yield self._pace.seconds
        with self._pace.timed(), self._store.writing() as connection:
            for table in (schema.score, schema.newest_score, schema.summary, schema.health, schema.live_scoring):
                connection.execute(delete(table).where(table.c.session.in_(gone)))
            connection.execute(delete(leaving).where(leaving.c.sweep == self._mark))
        yield self._pace.seconds

    # Looking

    def _look(self) -> Iterator[float]:
        call = schema.call
        for within in self._ranges(call, call.c.session):
            for kind in (_NODE, _BLOB):
                named = (self._named(kind, call.c[name], within) for name in kind.named)
                yield from self._hold(kind, union(*named))
        for place in self._places_of_nodes():
            yield from self._hold(_NODE, self._parents(place))

    def _named(self, kind: _Kind, column: Column[Any], within: ColumnElement[bool]) -> Any:
        return select(column).where(within, exists().where(kind.key == column, self._is_marked(kind)))

    def _parents(self, within: ColumnElement[bool] | TextClause) -> Any:
        """Marked nodes that have children which are not."""
        node = schema.node
        above, itself = schema.loose_node.alias(), schema.loose_node.alias()
        goes = exists().where(itself.c.id == node.c.id, itself.c.sweep == self._mark)
        marked = exists().where(above.c.id == node.c.parent, above.c.sweep == self._mark)
        return select(node.c.parent).where(within, marked, ~goes)

    def _is_marked(self, kind: _Kind) -> ColumnElement[bool]:
        return kind.loose.c.sweep == self._mark

    def _hold(self, kind: _Kind, found: Any) -> Iterator[float]:
        """Take what is needed off the list; of nodes, all that they follow as well."""
        with self._store.reading() as connection:
            keys = sorted({bytes(key) for key in connection.execute(found).scalars()})
        for at in range(0, len(keys), _HELD):
            some = select(kind.key).where(kind.key.in_(keys[at : at + _HELD]), self._is_marked(kind))
            needed = some if kind is _BLOB else self._with_ancestors(some)

            def hold(connection: Connection, needed: Any = needed) -> None:
                connection.execute(delete(kind.loose).where(kind.key.in_(needed), self._is_marked(kind)))

            yield from self._fence.run(kind.loose, hold)
        yield 0.0

    def _with_ancestors(self, some: Any) -> Any:
        node, loose = schema.node, schema.loose_node
        above = some.cte("above", recursive=True)
        follows = select(loose.c.id).where(self._is_marked(_NODE))
        follows = follows.join(node, node.c.parent == loose.c.id).join(above, node.c.id == above.c.id)
        above = above.union(follows)
        return select(above.c.id)

    def _ranges(self, table: Table, key: Column[Any]) -> Iterator[ColumnElement[bool]]:
        """All of a table, page by page in the order of a key."""
        last: Any = None
        while True:
            beyond = true() if last is None else key > last
            with self._store.reading() as connection:
                end = connection.execute(select(key).where(beyond).order_by(key).offset(_PAGE).limit(1)).scalar()
            if end is None:
                yield beyond
                return
            yield and_(beyond, key <= end)
            last = end

    def _places_of_nodes(self) -> Iterator[ColumnElement[bool] | TextClause]:
        """All nodes, in the order in which they lie on the disk; PostgreSQL finds it by itself, and nobody waits for
        its readers. In SQLite a reader keeps the log from being emptied, so it reads page by page."""
        if self._store.shared:
            yield true()
            return
        layout = self._layout()
        with self._store.reading() as connection:
            most = connection.execute(select(func.max(literal_column("rowid"))).select_from(schema.node)).scalar() or 0
        for begin in range(0, most, 10 * _PAGE):
            yield text(f"node.rowid > {begin} AND node.rowid <= {begin + 10 * _PAGE}")
        if self._layout() != layout:
            raise StoreError("The store was rebuilt (VACUUM) while it was looked through; the next sweep looks anew.")

    def _layout(self) -> int:
        """Changes when SQLite numbers its rows anew."""
        with self._store.reading() as connection:
            return int(connection.exec_driver_sql("PRAGMA schema_version").scalar_one())

    # Deleting

    def _delete(self, kind: _Kind) -> Iterator[float]:
        while True:
            with self._store.reading() as connection:
                marked = select(kind.key).where(self._is_marked(kind)).order_by(kind.key).limit(self._pace.rows)
                keys = list(connection.execute(marked).scalars())
            if not keys:
                return

            def remove(connection: Connection, keys: list[bytes] = keys) -> int:
                still = select(kind.key).where(kind.key.in_(keys), self._is_marked(kind))
                these = kind.stored_key.in_(list(connection.execute(still).scalars()))
                size = select(func.count(), func.coalesce(func.sum(func.length(kind.table.c.body)), 0)).where(these)
                count, bytes = connection.execute(size).one()
                connection.execute(delete(kind.table).where(these))
                connection.execute(delete(kind.loose).where(kind.key.in_(keys), self._is_marked(kind)))
                self._freed.bytes += int(bytes)
                return int(count)

            gone = yield from self._fence.run(kind.table, remove)
            if kind is _NODE:
                self._freed.nodes += gone
            else:
                self._freed.blobs += gone

    def _count_loose(self) -> int:
        with self._store.reading() as connection:
            counts = (select(func.count()).select_from(kind.loose) for kind in (_NODE, _BLOB))
            return sum(int(connection.execute(count).scalar_one()) for count in counts)
