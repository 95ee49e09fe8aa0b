"""A disk that is full under a gateway that goes on all the same: what it could not store is stored later."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from drawbar.errors import ConfigurationError, StoreError
from drawbar.record.recorder import Recorder
from drawbar.record.rows import BlobRow, CallRow, NodeRow, Row, SessionRow
from drawbar.record.spool import Spool
from drawbar.record.store import Store

MakeCall = Callable[..., CallRow]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("a file system can be mounted by root alone")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)  # also while SQLite is about to let go of it


def rows(make_call: MakeCall, seq: int, status: str) -> list[Row]:
    body = bytes(range(256)) * 40 + seq.to_bytes(4, "big") + seq.to_bytes(97, "little") * 40
    blob = BlobRow(digest=seq.to_bytes(20, "big"), body=body)
    return [blob, make_call("s", seq, id=f"call_{seq:04}", status=status, request_envelope=blob.digest)]


def _caught_up(recorder: Recorder) -> bool:
    return not (recorder.failing or recorder.spooled)


async def on_a_full_disk(store: Store, recorder: Recorder, make_call: MakeCall, free: Callable[[], None]) -> int:
    """Record through a disk that is full meanwhile; how many commits failed."""
    failed = 0
    async with recorder:
        recorder.keep_all = True
        await recorder.commit(SessionRow(id="s", started=1.0))
        for seq in range(300):
            await recorder.post(*rows(make_call, seq, "started"))
            try:
                await recorder.commit(*rows(make_call, seq, "answered"))
            except StoreError:
                failed += 1
        free()
        await recorder.commit()
        with anyio.fail_after(10):
            while not _caught_up(recorder):  # noqa: ASYNC110 - it tries again by itself
                await anyio.sleep(0.02)
    return failed


@pytest.mark.parametrize("spooling", [True, False])
async def test_what_a_full_disk_did_not_take_is_stored_when_there_is_room_again(
    small_disk: Path, tmp_path: Path, make_call: MakeCall, spooling: bool
) -> None:
    store = Store.open(small_disk / "drawbar.db")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 500_000)
    spool = Spool(tmp_path / "spool") if spooling else None
    recorder = Recorder(store, spool=spool, max_pending=100 if spooling else 10_000)

    def free() -> None:
        assert recorder.failing
        assert not spooling or recorder.spooled > 0
        ballast.unlink()

    failed = await on_a_full_disk(store, recorder, make_call, free)
    assert failed > 10
    assert recorder.lost == 0
    calls = store.trajectory("s").calls
    assert [call.seq for call in calls] == list(range(300))
    assert {call.status for call in calls} == {"answered"}
    assert all(call.request_envelope for call in calls)
    store.close()
    assert not (tmp_path / "spool").exists()


class Disk:
    """A store's disk, full or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        write = Store.write

        def guarded(store: Store, rows: Sequence[Row]) -> None:
            if self.full:
                raise StoreError("the disk is full")
            write(store, rows)

        monkeypatch.setattr(Store, "write", guarded)


async def test_a_spool_outlives_its_gateway(
    tmp_path: Path, make_call: MakeCall, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with Recorder(sqlite_store, spool=Spool(tmp_path / "spool")) as recorder:
        recorder.keep_all = True
        await recorder.post(SessionRow(id="s", started=1.0))
        with pytest.raises(StoreError, match="the disk is full"):
            await recorder.commit(*rows(make_call, 0, "answered"))
    assert (tmp_path / "spool").stat().st_size > 0
    disk.full = False
    async with Recorder(sqlite_store, spool=Spool(tmp_path / "spool")) as recorder:
        await recorder.commit(*rows(make_call, 1, "answered"))
        assert [call.seq for call in sqlite_store.trajectory("s").calls] == [0, 1]
    assert not (tmp_path / "spool").exists()


async def test_without_room_anywhere_the_loss_is_counted(
    make_call: MakeCall, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with Recorder(sqlite_store, max_pending=20) as recorder:
        recorder.keep_all = True
        for seq in range(20):
            with pytest.raises(StoreError, match="the disk is full"):
                await recorder.commit(*rows(make_call, seq, "answered"))
        assert recorder.lost > 0
        assert recorder.pending <= 20
        disk.full = False


def test_a_spool_gives_back_what_it_took(tmp_path: Path, make_call: MakeCall) -> None:
    spool = Spool(tmp_path / "spool")
    node = NodeRow(id=b"\0\1", parent=None, depth=0, dialect="chat", body=b"\xff", said=b"x")
    given: list[Row] = [SessionRow(id="s", started=1.0, error="\u2028"), node, *rows(make_call, 1, "answered")]
    assert spool.add(given)
    with open(tmp_path / "spool", "ab") as cut:
        cut.write(b"\0\0\1\0 a record that a crash has cut")
    with pytest.raises(ConfigurationError, match="another gateway's"):
        Spool(tmp_path / "spool")
    assert [row for batch in spool.batches() for row in batch] == given
    assert spool.empty
    spool.close()


def test_a_spool_that_cannot_be_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened: No such file or directory"):
        Spool(tmp_path / "no" / "spool")
