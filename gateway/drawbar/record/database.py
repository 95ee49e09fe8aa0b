"""A store's URL, the engine behind it, and what goes wrong with databases put in our words."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from drawbar.errors import ConfigurationError, StoreError

BUSY_SECONDS: Final = 30.0
"""How long one SQLite writer waits for another process's transaction."""

_SYNCHRONOUS: Final = ("normal", "full")


class UnwritableRow(StoreError):
    """The database is well, but it cannot hold a value in one of the rows."""


def parse(where: str | Path) -> URL:
    """A path, `sqlite:///path` or `postgresql://user@host/name`, as a URL.

    A path that is to survive loss of power, not only of the process: `sqlite:///drawbar.db?synchronous=full`.

    Raises:
        ConfigurationError: neither of these.
    """
    text = str(where)
    if isinstance(where, Path) or "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except ArgumentError:
        raise ConfigurationError("The store's URL cannot be read. " + _FORMS) from None
    if url.get_backend_name() == "sqlite" and url.database:
        unknown = set(url.query) - {"synchronous"}
        if unknown or url.query.get("synchronous", "normal") not in _SYNCHRONOUS:
            raise ConfigurationError(
                "A SQLite store's URL takes one setting, `synchronous=normal` (the default) or `synchronous=full`."
            )
        return url
    if url.get_backend_name() in ("postgresql", "postgres") and url.database:
        return url.set(drivername="postgresql+psycopg")
    raise ConfigurationError(f"No store can be kept at {shown(url)!r}. " + _FORMS)


_FORMS: Final = "A store is a path (drawbar.db), sqlite:///path or postgresql://user@host/database."


def shown(url: URL) -> str:
    """The URL without its password."""
    return url.render_as_string(hide_password=True)


def make_engine(url: URL, *, read_only: bool) -> Engine:
    """An engine whose connections are ready for use. Nothing is opened yet.

    Raises:
        ConfigurationError: PostgreSQL is asked for and its driver is not installed.
        StoreError: there is no file (to read) or no folder (to make one in).
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, read_only=read_only)
    try:
        # Positional parameters, as our cursors want them. A connection is checked before it is handed out of the pool.
        engine = create_engine(url, paramstyle="format", pool_pre_ping=True, max_overflow=-1)
    except ModuleNotFoundError as error:
        raise ConfigurationError("A PostgreSQL store needs its driver: pip install 'drawbar[postgres]'.") from error
    if read_only:
        event.listen(engine, "connect", _make_read_only)
    return engine


def _make_read_only(connection: Any, record: object) -> None:
    connection.read_only = True


def _sqlite(url: URL, *, read_only: bool) -> Engine:
    path = Path(str(url.database)).absolute()
    if read_only and not path.is_file():
        raise StoreError(f"There is no store at {path}. `drawbar run` makes one; --store names another.")
    if not path.parent.is_dir():
        raise StoreError(f"The store {path} cannot be made: there is no folder {path.parent}. Create it first.")
    mode = "ro" if read_only else "rwc"
    if read_only and not _has_log(path) and not _writable(path.parent):
        mode = "ro&immutable=1"  # nobody writes, and the shared-memory file that WAL needs could not be made

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,  # transactions are begun below, and not by the driver's guess
            check_same_thread=False,
        )
        connection.execute(f"PRAGMA synchronous={url.query.get('synchronous', 'normal')}")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, max_overflow=-1)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.is_file() and log.stat().st_size > 0


def _writable(folder: Path) -> bool:

    return os.access(folder, os.W_OK)


def translated(error: BaseException, url: URL, dbapi: Any) -> StoreError:
    """A driver's exception in our words: what was wrong, where, and what to do."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = str(original).strip().split("\n")[0] or type(original).__name__
    if isinstance(original, (dbapi.DataError, dbapi.IntegrityError, ValueError, OverflowError, TypeError)):
        return UnwritableRow(f"A value cannot be written to the store {shown(url)}: {said}")
    for words, advice in _ADVICE:
        if words in said:
            return StoreError(f"The store {shown(url)}: {said}. {advice}")
    return StoreError(f"The store {shown(url)} cannot be used: {said}")


_ADVICE: Final = (
    ("disk is full", "Nothing was half-written. Free some space; the run can then be resumed with --resume."),
    ("No space left", "Nothing was half-written. Free some space; the run can then be resumed with --resume."),
    (
        "disk I/O error",
        "Nothing was half-written. Check the disk and its quota; the run can then be resumed with --resume.",
    ),
    ("readonly", "Make the file and its folder writable, or name another store with --store."),
    ("read-only", "Make the database writable, or name another store with --store."),
    ("unable to open", "Check that the folder exists and that you may write to it."),
    ("locked", "Another process has held it for too long; end that process or name another store with --store."),
    ("not a database", "The file is no SQLite database; name another store with --store."),
    ("malformed", "The file is damaged; restore it from a copy, or name another store with --store."),
    ("does not exist", "Create the database first (createdb), or correct the URL."),
    ("authentication failed", "Check the user and the password in the URL."),
)


def use_write_ahead_log(engine: Engine) -> None:
    """Turn a SQLite file to WAL, so that readers and the writer do not wait for each other. It stays so."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def space(engine: Engine) -> tuple[int, int] | None:
    """The bytes of a SQLite file, and how many of them are free for what comes; None for another database."""
    if engine.dialect.name != "sqlite":
        return None
    with engine.connect() as connection:
        pages, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_count", "freelist_count", "page_size")
        )
    return pages * size, free * size


def rebuild(engine: Engine) -> None:
    """Make a SQLite file as small as what is in it. Nobody can write meanwhile."""
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
            cursor.execute(statement)
            cursor.fetchall()
    finally:
        connection.close()


def lock_schema(connection: Connection) -> None:
    """Let no two processes make or migrate one store at a time; until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7236617)")
