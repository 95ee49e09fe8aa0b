"""Disks that are full, closed or not there: a clear error, nothing half-written, and on as before once they are
well."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from drawbar.errors import StoreError
from drawbar.record.database import make_engine, parse
from drawbar.record.rows import BlobRow, SessionRow
from drawbar.record.store import Store

Make = Callable[..., SessionRow]


def test_a_disk_that_fills_up_fails_the_call_and_loses_nothing_once_there_is_room_again(tmp_path: Path) -> None:
    path = tmp_path / "drawbar.db"
    script = Path(__file__).with_name("filled_up.py")
    done = subprocess.run([sys.executable, str(script), str(path)], capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    answered = {int(n) for word, n, *_ in lines if word == "answered"}
    [(failed, said)] = [(int(rest[0]), rest[1]) for word, *rest in lines if word == "failed"]
    assert "Nothing was half-written" in said
    assert str(path) in said
    assert len(answered) > 10
    store = Store.open(path)
    calls = {call.seq: call.status for call in store.trajectory("s").calls}
    store.close()
    assert {seq for seq, status in calls.items() if status == "answered"} == answered
    assert calls[failed] == "started"
    assert calls[1001] == "started"


def test_a_full_database_is_told_as_such(tmp_path: Path, make_session: Make) -> None:
    event.listen(Pool, "connect", _limit_pages)
    try:
        store = Store.open(tmp_path / "drawbar.db")
    finally:
        event.remove(Pool, "connect", _limit_pages)
    store.write([make_session(id="a")])
    with pytest.raises(StoreError, match=r"disk is full.*Free some space.*--resume"):
        store.write([make_session(id="b"), BlobRow(digest=b"d", body=os.urandom(500_000))])
    assert [s.id for s in store.sessions()] == ["a"]
    store.write([make_session(id="a", status="ended")])
    assert [s.status for s in store.sessions()] == ["ended"]
    store.close()


def _limit_pages(connection: sqlite3.Connection, record: object) -> None:
    """Let the file have no more than a few pages, as a full disk would."""
    connection.execute("PRAGMA max_page_count = 100")


@pytest.mark.skipif(os.name != "posix", reason="accounts and file modes are POSIX")
@pytest.mark.parametrize("closed", ["file", "folder"])
def test_a_store_that_may_not_be_written_says_so_and_can_be_read(
    tmp_path: Path, make_session: Make, closed: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    store = Store.open(home / "drawbar.db")
    store.write([make_session(id="a")])
    store.close()
    script = (
        "import sys; from drawbar.record.store import Store; from drawbar.record.rows import SessionRow\n"
        "from drawbar.errors import StoreError\n"
        "print(Store.open(sys.argv[1], read_only=True).session('a').id)\n"
        "try: Store.open(sys.argv[1]).write([SessionRow(id='b', started=1.0)])\n"
        "except StoreError as error: print(error)\n"
    )
    for path in home.iterdir():
        path.chmod(0o444)
    if closed == "folder":
        home.chmod(0o555)
    done = _run_as_nobody(script, home / "drawbar.db", tmp_path)
    assert done.returncode == 0, done.stderr
    read, refused = done.stdout.splitlines()
    assert read == "a"
    assert "writable" in refused or "may write" in refused


def _run_as_nobody(script: str, path: Path, root: Path) -> subprocess.CompletedProcess[str]:
    """Run it as an account that file modes bind, where we are root."""
    if os.geteuid() != 0:
        return subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    for folder in (root, *root.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    # Every module is imported first: that account may not be able to read them.
    first = (
        "import os, sys; from drawbar.record.store import Store; store = Store.open(sys.argv[2]); store.session(''); "
    )
    import_as_root = first + "store.close(); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n" + script
    return subprocess.run(
        [sys.executable, "-c", import_as_root, str(path), str(root / "first.db")],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_store_that_is_locked_for_too_long_is_told_as_such(
    tmp_path: Path, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drawbar.record.database.BUSY_SECONDS", 0.01)
    store = Store.open(tmp_path / "drawbar.db")
    other = sqlite3.connect(tmp_path / "drawbar.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"locked.*Another process"):
        store.write([make_session(id="a")])
    other.execute("ROLLBACK")
    other.close()
    store.write([make_session(id="b")])
    assert [s.id for s in store.sessions()] == ["b"]
    store.close()


def test_a_store_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"There is no store at .*none\.db"):
        Store.open(tmp_path / "none.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no folder"):
        Store.open(tmp_path / "none" / "drawbar.db")


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("My notes. " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(path)
    assert path.read_text() == "My notes. " * 1000


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open"):
        Store.open(tmp_path)


def test_any_file_name_will_do(tmp_path: Path, make_session: Make) -> None:
    path = tmp_path / "what? 100% #1 & a+b.db"
    store = Store.open(path)
    store.write([make_session(id="a")])
    store.close()
    reader = Store.open(path, read_only=True)
    assert reader.session("a") is not None
    reader.close()
    assert path.is_file()


def test_a_store_can_be_made_to_outlive_loss_of_power(tmp_path: Path) -> None:
    engine = make_engine(parse(f"sqlite:///{tmp_path / 'drawbar.db'}?synchronous=full"), read_only=False)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    engine.dispose()
