"""The store's one writing connection: a batch of rows is one transaction, or nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from msgspec import structs
from sqlalchemy import URL, Engine, PoolProxiedConnection
from sqlalchemy.exc import SQLAlchemyError

from drawbar.errors import StoreError
from drawbar.record.database import UnwritableRow, translated
from drawbar.record.rows import Row
from drawbar.record.write import Statements

_TRANSIENT: Final = ("deadlock", "serialize", "connection", "terminat", "closed")
"""Words of failures that a fresh transaction, on a fresh connection, may not meet. Rows can be written again safely."""


class Writer:
    """Writes batches, one at a time, from any thread."""

    def __init__(self, engine: Engine, url: URL) -> None:
        self._engine = engine
        self._url = url
        self._sqlite = engine.dialect.name == "sqlite"
        self._statements = Statements(engine.dialect)
        driver: Any = engine.dialect.loaded_dbapi
        self._errors: Final = (driver.Error, SQLAlchemyError, OSError, ValueError, OverflowError, TypeError)
        self._lock = threading.Lock()
        self._connection: PoolProxiedConnection | None = None
        self._closed = False

    def write(self, rows: Sequence[Row]) -> None:
        """Write all of the rows or none.

        Text that no database takes (NUL, lone surrogates) is written with replacement characters in its place.

        Raises:
            UnwritableRow: a value that cannot be written at all; the other rows could be.
            StoreError: the store cannot be written now.
        """
        if not rows:
            return
        with self._lock:
            if self._closed:
                raise StoreError("The store is closed.")
            try:
                self._attempt(rows)
            except UnwritableRow:
                self._attempt([cleaned(row) for row in rows])

    def waiting(self) -> AbstractContextManager[object]:
        """Nothing is written from here meanwhile."""
        return self._lock

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._drop_connection()

    def _attempt(self, rows: Sequence[Row]) -> None:
        try:
            try:
                self._transaction(rows)
            except Exception as error:
                if self._sqlite or not any(word in str(error).lower() for word in _TRANSIENT):
                    raise
                self._drop_connection()
                self._transaction(rows)
        except self._errors as error:
            raise translated(error, self._url, self._engine.dialect.loaded_dbapi) from error

    def _transaction(self, rows: Sequence[Row]) -> None:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
        connection: Any = self._connection.driver_connection
        try:
            cursor = connection.cursor()
            if self._sqlite:
                cursor.execute("BEGIN IMMEDIATE")
            self._statements.run(cursor, rows)
            connection.commit()
        except BaseException:
            self._undo(connection)
            raise

    def _undo(self, connection: Any) -> None:
        try:
            connection.rollback()
        except self._errors:
            self._drop_connection()

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None


def cleaned(row: Row) -> Row:
    """The row with its texts made such that every database takes them."""
    texts = {
        name: value.replace("\0", "\ufffd").encode(errors="replace").decode()
        for name, value in structs.asdict(row).items()
        if isinstance(value, str)
    }
    return structs.replace(row, **texts)
