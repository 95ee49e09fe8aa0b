"""Versions of the store: older ones are brought forward, newer ones refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text

from drawbar.errors import ConfigurationError, StoreError, StoreVersionError
from drawbar.record import migrations, schema
from drawbar.record.database import parse
from drawbar.record.filter import where
from drawbar.record.rows import CallRow, HealthRow, NodeRow, ScoreRow, SessionRow
from drawbar.record.store import Store


@pytest.mark.parametrize("kind", schema.TABLES)
def test_columns_stand_in_the_order_of_the_rows_fields(kind: Any) -> None:
    fields = [name for name in kind.__struct_fields__ if (kind, name) != (NodeRow, "said")]
    assert schema.TABLES[kind].columns.keys() == fields


def _rename_stop(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE session RENAME COLUMN stop TO reason"))


def _add_note(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE session ADD COLUMN note TEXT"))
    connection.execute(text("UPDATE session SET note = 'was ' || reason"))


def test_an_older_store_is_walked_forward_step_by_step(store: Store, make_session: Callable[..., SessionRow]) -> None:
    store.write([make_session(id="a", stop="completed")])
    engine = create_engine(parse(store.url))
    steps = {schema.VERSION: _rename_stop, schema.VERSION + 1: _add_note}
    with engine.begin() as connection:
        migrations.prepare(connection, version=schema.VERSION + 2, migrations=steps)
    with engine.connect() as connection:
        assert migrations.stored_version(connection) == schema.VERSION + 2
        assert connection.execute(text("SELECT note FROM session")).scalar() == "was completed"
    engine.dispose()


def test_a_migration_that_fails_leaves_the_old_store(
    store: Store, store_url: str, make_session: Callable[..., SessionRow]
) -> None:
    def fail(connection: Connection) -> None:
        raise ArithmeticError("half way")

    store.write([make_session(id="a")])
    store.close()
    old = Store.open(store_url)
    with pytest.raises(ArithmeticError), old.preparing() as connection:
        migrations.prepare(
            connection,
            version=schema.VERSION + 2,
            migrations={schema.VERSION: _rename_stop, schema.VERSION + 1: fail},
        )
    old.close()
    again = Store.open(store_url)
    assert again.session("a") is not None
    again.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_store_is_refused_with_what_to_do(store: Store, store_url: str, read_only: bool) -> None:
    _set_version(store, schema.VERSION + 1)
    with pytest.raises(StoreVersionError, match="Upgrade drawbar"):
        Store.open(store_url, read_only=read_only)
    _set_version(store, schema.VERSION)


def test_an_older_store_cannot_be_opened_for_reading_alone(store: Store, store_url: str) -> None:
    _set_version(store, schema.VERSION - 1)
    with pytest.raises(StoreError, match="Open it once for writing"):
        Store.open(store_url, read_only=True)


def test_a_store_of_version_1_is_brought_forward_with_all_that_it_holds(
    store: Store, store_url: str, make_session: Callable[..., SessionRow], make_call: Callable[..., CallRow]
) -> None:
    store.write([make_session(id="s"), make_call("s", id="c")])
    store.close()
    _bring_back_to_version_1(store_url)
    again = Store.open(store_url)
    again.write([make_session(id="t", origin="content"), HealthRow(session="t", findings=b"[]", created=1.0)])
    (old,) = again.trajectory("s").calls
    assert (old.id, old.follows, old.edge) == ("c", None, None)
    assert {row.id: row.origin for row in again.sessions()} == {"s": "opened", "t": "content"}
    assert (again.findings("s"), again.findings("t")) == (None, [])
    assert again.silent_since(5.0) == ["t"]
    again.close()


def _bring_back_to_version_1(url: str) -> None:
    _bring_back_to_version_2(url)
    engine = create_engine(parse(url))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE health"))
        connection.execute(text("DROP INDEX session_open_live"))
        for name in ("origin", "continues"):
            connection.execute(text(f"ALTER TABLE session DROP COLUMN {name}"))
        for name in ("follows", "edge", "thread", "parent_thread", "purpose"):
            connection.execute(text(f"ALTER TABLE call DROP COLUMN {name}"))
        connection.execute(text("UPDATE meta SET value = 1 WHERE name = 'schema_version'"))
    engine.dispose()


def _bring_back_to_version_3(url: str) -> None:
    engine = create_engine(parse(url))
    with engine.begin() as connection:
        for table in ("leaving", "loose_node", "loose_blob"):
            connection.execute(text(f"DROP TABLE {table}"))
        for name in ("session_ended", "session_open", "live_scoring_rubric"):
            connection.execute(text(f"DROP INDEX {name}"))
        connection.execute(text("CREATE INDEX session_open_live ON session (started) WHERE status = 'open'"))
        for table in ("alert", "alert_message"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("UPDATE meta SET value = 3 WHERE name = 'schema_version'"))
    engine.dispose()


def _bring_back_to_version_2(url: str) -> None:
    _bring_back_to_version_3(url)
    engine = create_engine(parse(url))
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX session_started"))
        for table in ("summary", "newest_score", "label", "answer", "live_scoring", "client_key", "key_use"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("ALTER TABLE session DROP COLUMN owner"))
        connection.execute(text("ALTER TABLE score DROP COLUMN call"))
        connection.execute(text("UPDATE meta SET value = 2 WHERE name = 'schema_version'"))
    engine.dispose()


def test_sessions_of_a_store_of_version_2_are_found_by_all_that_is_known_of_them(
    store: Store, store_url: str, make_session: Callable[..., SessionRow], make_call: Callable[..., CallRow]
) -> None:
    finding = b'[{"name":"empty_reply","detail":"said nothing","severity":"defect"}]'
    score = ScoreRow(
        id="x", session="s", name="ok", kind="reward", value=0.5, weight=2.0, rubric_version="r", source="rollout",
        created=1.0,
    )  # fmt: skip
    store.write(
        [
            make_session(id="s", metadata=b'{"user":"ada","tags":["beta",3]}', status="ended", ended=2.0),
            make_call("s", status="answered", prompt_tokens=7, upstream="openai/m"),
            HealthRow(session="s", findings=finding, created=1.0),
            score,
            make_session(id="t"),
        ]
    )
    store.close()
    _bring_back_to_version_2(store_url)
    again = Store.open(store_url)
    for words in (
        "user = ada", "tag = beta", "metadata.tags = 3", "finding = empty_reply", "health = defect", "turns = 1",
        "prompt_tokens = 7", "upstream = openai", "model = m", "reward = 1", "score.ok = 0.5",
    ):  # fmt: skip
        assert [row.id for row in again.select(where(words))] == ["s"], words
    assert [row.id for row in again.select(where("health = unknown"))] == ["t"]
    again.close()


def test_a_database_with_somebody_elses_tables_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE session (mine TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="'session' that drawbar did not make"):
        Store.open(path)


def test_an_empty_database_is_no_store_to_read_from(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="There is no store in"):
        Store.open(tmp_path / "empty.db", read_only=True)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://host/db", "No store can be kept at"),
        ("postgresql://host", "No store can be kept at"),
        ("://", "cannot be read"),
        ("sqlite:///a.db?synchronous=sometimes", "synchronous"),
        ("sqlite:///a.db?mode=ro", "one setting"),
    ],
)
def test_a_url_that_means_nothing_is_told_what_would(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Store.open(url)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Store.open(f"postgresql://me:hunter2@/db?host={tmp_path}")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError) as refused:
        Store.open("mysql://me:hunter2@host/db")
    assert "hunter2" not in str(refused.value)


def _set_version(store: Store, version: int) -> None:
    engine = create_engine(parse(store.url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE meta SET value = :v WHERE name = 'schema_version'"), {"v": version})
    engine.dispose()
