"""Transactions that change what many others also write, without ever waiting for each other in a circle.

SQLite has one writer at a time. In PostgreSQL such a transaction first locks the one table in which it meets writers:
it waits for those that are at work in it, holding nothing, and those who come later wait for it, whatever they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final, TypeAlias, TypeVar

from sqlalchemy import Connection, Table

from drawbar.errors import StoreError
from drawbar.record.freed import Pace
from drawbar.record.store import Store

T = TypeVar("T")
Steps: TypeAlias = Generator[float, None, T]
"""For how many seconds each step has held the store; in the end, what came of them."""

_LOCK: Final = "100ms"
"""For how long the lock is waited for: meanwhile, nobody else gets it. PostgreSQL's own cleaning (autovacuum) holds one
for minutes."""
_TRIES: Final = 200
_BUSY: Final = 1.0
"""As if a step had taken so long: whoever sets the pace waits before the next."""


class Fence:
    """Runs such transactions."""

    def __init__(self, store: Store, pace: Pace) -> None:
        self._store = store
        self._pace = pace

    def run(self, table: Table, do: Callable[[Connection], T]) -> Steps[T]:
        """Do this while nobody else writes into the table. Raises `StoreError`."""
        for left in reversed(range(_TRIES)):
            try:
                with self._pace.timed(), self._store.writing() as connection:
                    if connection.dialect.name == "postgresql":
                        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK}'")
                        connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")
                    done = do(connection)
            except StoreError as error:
                if not left or not any(word in str(error) for word in ("lock timeout", "deadlock")):
                    raise
                yield _BUSY
            else:
                yield self._pace.seconds
                return done
        raise AssertionError("The last try raises.")
