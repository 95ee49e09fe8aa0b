"""The recorder: order, groups, back-pressure, and what it does when the store cannot be written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from drawbar.errors import StoreError
from drawbar.record.recorder import Recorder
from drawbar.record.redaction import Redact
from drawbar.record.rows import BlobRow, CallRow, NodeRow, Row, SessionRow
from drawbar.record.store import Store

Make = Callable[..., SessionRow]
MakeCall = Callable[..., CallRow]
Count = Callable[[Store, str], int]


class Watched(Store):
    """A store that keeps what it was asked to write, can be held up, and can be made to fail."""

    batches: list[list[Row]]
    broken: bool
    gate: threading.Event

    def write(self, rows: Sequence[Row]) -> None:
        self.gate.wait()
        if rows:
            self.batches.append(list(rows))
        if self.broken:
            raise StoreError("the disk is full")
        super().write(rows)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    store = Watched.open(tmp_path / "drawbar.db")
    store.batches, store.broken, store.gate = [], False, threading.Event()
    store.gate.set()
    yield store
    store.close()


async def test_what_is_committed_can_be_read_at_once(store: Store, make_session: Make) -> None:
    async with Recorder(store) as recorder:
        await recorder.commit(make_session(id="a"))
        assert store.session("a") is not None


async def test_what_is_posted_is_there_after_a_later_commit(store: Store, make_session: Make) -> None:
    async with Recorder(store) as recorder:
        await recorder.post(make_session(id="a"))
        await recorder.commit()
        assert store.session("a") is not None


async def test_what_is_posted_is_written_without_anybody_waiting_for_it(watched: Watched, make_session: Make) -> None:
    async with Recorder(watched) as recorder:
        await recorder.post(make_session(id="a"))
        with anyio.fail_after(10):
            while watched.session("a") is None:
                await anyio.lowlevel.checkpoint()


async def test_stopping_writes_what_was_posted(store: Store, make_session: Make) -> None:
    async with Recorder(store, linger=60) as recorder:
        for n in range(100):
            await recorder.post(make_session(id=str(n)))
    assert len(store.sessions()) == 100


async def test_an_intent_and_its_end_within_the_linger_are_one_write(watched: Watched, make_call: MakeCall) -> None:
    intent = make_call("s", id="c")
    end = make_call("s", id="c", status="answered")
    async with Recorder(watched, linger=60) as recorder:
        await recorder.post(intent)
        await recorder.commit(end)
    assert watched.batches == [[intent, end]]


async def test_commits_of_many_callers_share_a_transaction(watched: Watched, make_session: Make) -> None:
    watched.gate.clear()
    async with Recorder(watched) as recorder, anyio.create_task_group() as group:
        for n in range(50):
            group.start_soon(recorder.commit, make_session(id=str(n)))
        await anyio.wait_all_tasks_blocked()
        watched.gate.set()
    assert len(watched.batches) <= 2
    assert len(watched.sessions()) == 50


async def test_a_full_queue_slows_its_callers_down_and_drops_nothing(watched: Watched, make_session: Make) -> None:
    watched.gate.clear()
    posted: list[int] = []
    async with Recorder(watched, max_pending=10) as recorder:

        async def poster() -> None:
            for n in range(100):
                await recorder.post(make_session(id=str(n)))
                posted.append(n)

        async with anyio.create_task_group() as group:
            group.start_soon(poster)
            await anyio.wait_all_tasks_blocked()
            assert len(posted) == 10
            watched.gate.set()
    assert len(watched.sessions()) == 100


async def test_large_bodies_fill_the_queue_before_they_fill_the_memory(watched: Watched) -> None:
    watched.gate.clear()
    posted: list[int] = []
    async with Recorder(watched, max_pending=100) as recorder:

        async def poster() -> None:
            for n in range(20):
                await recorder.post(BlobRow(digest=bytes([n]), body=b"x" * 1_000_000))
                posted.append(n)

        async with anyio.create_task_group() as group:
            group.start_soon(poster)
            await anyio.wait_all_tasks_blocked()
            assert len(posted) == 6
            watched.gate.set()
    assert posted == list(range(20))


@pytest.mark.parametrize("redact", [None, lambda body: body[:10]])
async def test_what_a_failed_batch_held_is_free_again_once_it_is_written(
    watched: Watched, make_session: Make, redact: Redact | None
) -> None:
    async with Recorder(watched, max_pending=100, redact=redact) as recorder:
        watched.broken = True
        with pytest.raises(StoreError):
            await recorder.commit(*(BlobRow(digest=bytes([n]), body=b"x" * 1_000_000) for n in range(3)))
        watched.broken = False
        await recorder.commit()
        watched.gate.clear()
        with anyio.fail_after(10):
            for n in range(100):
                await recorder.post(make_session(id=str(n)))
        watched.gate.set()


async def test_more_rows_at_once_than_the_queue_holds_are_taken_when_it_is_empty(
    store: Store, make_session: Make
) -> None:
    async with Recorder(store, max_pending=5) as recorder:
        await recorder.commit(*(make_session(id=str(n)) for n in range(20)))
    assert len(store.sessions()) == 20


async def test_a_caller_that_gives_up_waiting_leaves_its_rows_behind(watched: Watched, make_session: Make) -> None:
    watched.gate.clear()
    async with Recorder(watched) as recorder:
        async with anyio.create_task_group() as group:
            group.start_soon(recorder.commit, make_session(id="a"))
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        watched.gate.set()
        await recorder.commit(make_session(id="b"))
    assert {s.id for s in watched.sessions()} == {"a", "b"}


async def test_a_commit_that_fails_says_so_and_the_next_one_works(watched: Watched, make_session: Make) -> None:
    async with Recorder(watched) as recorder:
        watched.broken = True
        before = recorder.epoch
        with pytest.raises(StoreError, match="disk is full"):
            await recorder.commit(make_session(id="a"))
        assert recorder.epoch > before
        watched.broken = False
        await recorder.commit(make_session(id="b"))
    assert [s.id for s in watched.sessions()] == ["b"]


async def test_posted_rows_outlive_a_failed_batch_and_never_overtake_later_ones(
    watched: Watched, make_session: Make, make_call: MakeCall
) -> None:
    async with Recorder(watched) as recorder:
        await recorder.commit(make_session(id="s"))
        watched.broken = True
        await recorder.post(make_call("s", id="one"), make_call("s", id="two"))
        with pytest.raises(StoreError):
            await recorder.commit()
        watched.broken = False
        await recorder.commit(make_call("s", id="one", status="answered"))
    assert {c.id: c.status for c in watched.trajectory("s").calls} == {"one": "answered", "two": "started"}


async def test_posted_rows_are_tried_again_without_a_next_batch(
    watched: Watched, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drawbar.record.recorder.RETRY_SECONDS", 0.001)
    async with Recorder(watched) as recorder:
        watched.broken = True
        await recorder.post(make_session(id="a"))
        with pytest.raises(StoreError):
            await recorder.commit()
        watched.broken = False
        with anyio.fail_after(10):
            while watched.session("a") is None:
                await anyio.lowlevel.checkpoint()


async def test_messages_of_a_failed_commit_are_kept_for_the_calls_that_build_on_them(
    watched: Watched, make_session: Make, make_call: MakeCall
) -> None:
    root = NodeRow(id=b"r", parent=None, depth=0, dialect="chat", body=b'{"role":"user","content":"a"}')
    leaf = NodeRow(id=b"l", parent=b"r", depth=1, dialect="chat", body=b'{"role":"user","content":"b"}')
    async with Recorder(watched) as recorder:
        watched.broken = True
        with pytest.raises(StoreError):
            await recorder.commit(make_call("s", id="lost", request=b"r"), root, BlobRow(digest=b"d", body=b"tools"))
        watched.broken = False
        await recorder.commit(make_session(id="s"), make_call("s", seq=1, request=b"l", tools=b"d"), leaf)
    found = watched.trajectory("s")
    assert [m.text for m in found.messages] == ["a", "b"]
    assert [c.tools for c in found.calls] == [b"tools"]


async def test_a_full_queue_before_a_broken_store_is_an_error_and_no_standstill(
    watched: Watched, make_session: Make
) -> None:
    watched.broken = True
    async with Recorder(watched, max_pending=3) as recorder:
        for n in range(3):
            await recorder.post(make_session(id=str(n)))
        with anyio.fail_after(10), pytest.raises(StoreError, match="disk is full"):
            await recorder.post(make_session(id="more"))
        watched.broken = False
    assert {s.id for s in watched.sessions()} == {"0", "1", "2"}


async def test_stopping_before_a_broken_store_tells_what_was_lost(watched: Watched, make_session: Make) -> None:
    watched.broken = True
    with pytest.raises(StoreError, match=r"1 recorded rows? could not be written: the disk is full"):
        async with Recorder(watched) as recorder:
            await recorder.post(make_session(id="a"))


async def test_a_row_that_cannot_be_written_harms_nobody_else(
    store: Store, make_session: Make, make_call: MakeCall
) -> None:
    async with Recorder(store, linger=60) as recorder:
        await recorder.post(make_session(id="s"))
        await recorder.post(make_call("s", id="bad", prompt_tokens=2**70))
        await recorder.post(make_call("s", id="good"))
        await recorder.commit()
        with pytest.raises(StoreError, match="cannot be written"):
            await recorder.commit(make_call("s", prompt_tokens=2**70))
        await recorder.commit(make_call("s", id="later"))
    assert {c.id for c in store.trajectory("s").calls} == {"good", "later"}


async def test_a_recorder_that_is_not_running_refuses(sqlite_store: Store, make_session: Make) -> None:
    recorder = Recorder(sqlite_store)
    with pytest.raises(RuntimeError, match="async with"):
        await recorder.post(make_session())
    async with recorder:
        pass
    with pytest.raises(RuntimeError, match="async with"):
        await recorder.commit(make_session())


async def test_two_recorders_on_one_store_write_all_of_both(store: Store, store_url: str, count: Count) -> None:
    other = Store.open(store_url)

    async def work(recorder: Recorder, name: str) -> None:
        for n in range(100):
            shared = [_node(f"shared {n} {k}") for k in range(3)]
            await recorder.commit(SessionRow(id=f"{name} {n}", started=1.0), *(shared if name < "b" else shared[::-1]))

    async with Recorder(store) as one, Recorder(other) as two, anyio.create_task_group() as group:
        for k in range(4):
            group.start_soon(work, one, f"a{k}")
            group.start_soon(work, two, f"b{k}")
    other.close()
    assert count(store, "session") == 800
    assert count(store, "node") == 300


def _node(words: str) -> NodeRow:
    return NodeRow(id=words.encode(), parent=None, depth=0, dialect="chat", body=b"{}")
