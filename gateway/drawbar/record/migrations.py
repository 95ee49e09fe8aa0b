"""The way forward from each older version of the tables in `schema`, and how a store is made or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from sqlalchemy import Connection, LargeBinary, inspect, select, update

from drawbar.errors import StoreError, StoreVersionError
from drawbar.record import derived, schema

Migration: TypeAlias = Callable[[Connection], None]


def _to_2(connection: Connection) -> None:
    """Live sessions, stored health, and the tree of a session's calls."""
    for table, column in (
        ("session", "origin TEXT NOT NULL DEFAULT 'opened'"),
        ("session", "continues TEXT"),
        *(("call", f"{name} TEXT") for name in ("follows", "edge", "thread", "parent_thread", "purpose")),
    ):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column}")
    schema.health.create(connection)


def _to_3(connection: Connection) -> None:
    """What sessions are looked for by: sums, newest scores and labels, of those that are there already too. Whose live
    sessions are, what answers were called, which call a score is about, what is to be scored, keys of clients."""
    connection.exec_driver_sql(f"ALTER TABLE session ADD COLUMN owner {LargeBinary().compile(connection.dialect)}")
    connection.exec_driver_sql("ALTER TABLE score ADD COLUMN call TEXT")
    schema.BY_START.create(connection)
    names = ("summary", "newest_score", "label", "answer", "live_scoring", "client_key", "key_use")
    for table in (schema.METADATA.tables[name] for name in names):
        table.create(connection)
    derived.fill(connection)


def _to_4(connection: Connection) -> None:
    """How alerts stand and what is to be told of them; sessions by their end, and all that are open by their start."""
    schema.BY_END.create(connection)
    schema.BY_OPENING.create(connection)
    connection.exec_driver_sql("DROP INDEX IF EXISTS session_open_live")  # the same, of live sessions alone
    for table in (schema.alert, schema.alert_message):
        table.create(connection)


def _to_5(connection: Connection) -> None:
    """What has been begun of deleting."""
    for table in (schema.leaving, schema.loose_node, schema.loose_blob):
        table.create(connection)


def _to_6(connection: Connection) -> None:
    """What live scoring did of late. `_to_3` makes the table, with all of its indexes, for stores that had none."""
    schema.BY_RUBRIC.create(connection, checkfirst=True)


MIGRATIONS: Final[Mapping[int, Migration]] = {1: _to_2, 2: _to_3, 3: _to_4, 4: _to_5, 5: _to_6}
"""The step that leads from a version to the next, by the version it starts from. Each runs in one transaction with
the rest."""


def prepare(
    connection: Connection, *, version: int = schema.VERSION, migrations: Mapping[int, Migration] = MIGRATIONS
) -> None:
    """Bring the store to this version, inside the caller's transaction: make the tables, or walk the migrations.

    Raises:
        StoreVersionError: the store is newer than this drawbar.
        StoreError: tables of our names stand there, but no drawbar made them.
    """
    have = stored_version(connection)
    if have is None:
        schema.METADATA.create_all(connection, checkfirst=False)
        connection.execute(schema.meta.insert().values(name="schema_version", value=version))
        return
    refuse_newer(have, version)
    for step in range(have, version):
        migrations[step](connection)
    if have < version:
        connection.execute(update(schema.meta).where(schema.meta.c.name == "schema_version").values(value=version))


def stored_version(connection: Connection) -> int | None:
    """The version that the store was written with; None for a database without a store in it."""
    present = set(inspect(connection).get_table_names()) & set(schema.METADATA.tables)
    if not present:
        return None
    if schema.meta.name in present:
        found = connection.execute(select(schema.meta.c.value).where(schema.meta.c.name == "schema_version")).scalar()
        if found is not None:
            return int(found)
    raise StoreError(
        f"The database holds a table named {min(present)!r} that drawbar did not make. "
        "Give the store a database of its own."
    )


def refuse_newer(have: int, version: int = schema.VERSION) -> None:
    """Raises `StoreVersionError` for a store that only a newer drawbar can read."""
    if have > version:
        raise StoreVersionError(
            f"The store has schema version {have}; this drawbar knows versions up to {version}. "
            "Upgrade drawbar (pip install -U drawbar), or name another store with --store."
        )
