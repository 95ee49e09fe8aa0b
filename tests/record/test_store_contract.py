"""What every store does, whichever database it lies in."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace
from sqlalchemy import create_engine, text

from drawbar.errors import StoreError, UnknownName
from drawbar.ids import digest
from drawbar.record.database import parse
from drawbar.record.rows import BlobRow, CallRow, NodeRow, RunRow, ScoreRow, SessionRow, ToolCallRow
from drawbar.record.store import Store
from drawbar.task import Task

Make = Callable[..., SessionRow]
MakeCall = Callable[..., CallRow]
MakeToolCall = Callable[..., ToolCallRow]
Count = Callable[[Store, str], int]

RUN = RunRow(
    id="run_1",
    environment="wiki",
    environment_version="1",
    rubric_version="r1",
    harness="loop",
    model="m",
    rollouts=2,
    started=1.5,
)


def test_a_session_comes_back_as_it_was_written(store: Store) -> None:
    session = SessionRow(
        id="ses_1",
        key_digest=digest(b"key"),
        run="run_1",
        environment="wiki",
        environment_version="1",
        task_key="t",
        task_hash="h",
        task=Task(prompt="Who? " * 400, answer="Ærø").to_json(),
        rollout=1,
        attempt=2,
        harness="loop",
        model="m",
        config=b'{"a":1}',
        metadata=b'{"b":2}',
        status="ended",
        stop="completed",
        error="none",
        started=1.25,
        ended=2.5,
    )
    store.write([session])
    assert store.session("ses_1") == session
    assert store.session_by_key(digest(b"key")) == session
    assert store.session("ses_2") is None
    assert store.session_by_key(b"other") is None


def test_a_run_comes_back_as_it_was_written(store: Store) -> None:
    store.write([RUN])
    assert store.run("run_1") == RUN
    assert store.runs() == [RUN]
    assert store.run("run_2") is None


def test_of_rows_that_are_written_more_than_once_the_last_counts(
    store: Store, make_session: Make, make_call: MakeCall, make_tool_call: MakeToolCall
) -> None:
    session = make_session(id="ses_1")
    call = make_call("ses_1", id="call_1")
    tool_call = make_tool_call("ses_1", id="tool_1", status="started")
    store.write([RUN, session, call, tool_call])
    store.write(
        [
            replace(RUN, status="finished"),
            replace(session, status="ended", ended=9.0),
            replace(call, status="failed", cause="first"),
            replace(call, status="answered", prompt_tokens=2**40),
            replace(tool_call, status="answered", result=b'{"content":[]}'),
        ]
    )
    found = store.trajectory("ses_1")
    assert store.run("run_1") == replace(RUN, status="finished")
    assert (found.status, found.ended) == ("ended", 9.0)
    assert [(c.status, c.cause, c.prompt_tokens) for c in found.calls] == [("answered", None, 2**40)]
    assert [(c.status, c.result) for c in found.tool_calls] == [("answered", {"content": []})]


def test_what_is_written_once_never_changes(store: Store, make_session: Make, count: Count) -> None:
    node = NodeRow(id=b"n", parent=None, depth=0, dialect="chat", body=b'{"role":"user","content":"first"}')
    score = ScoreRow(
        id="score_1", session="ses_1", name="a", kind="reward", value=1.0, weight=1.0,
        rubric_version="r", source="rollout", created=1.0,
    )  # fmt: skip
    store.write([make_session(id="ses_1"), node, score, BlobRow(digest=b"d", body=b"first")])
    store.write(
        [
            replace(node, body=b'{"role":"user","content":"second"}'),
            replace(score, value=0.0),
            BlobRow(digest=b"d", body=b"second"),
        ]
    )
    assert [count(store, table) for table in ("node", "score", "blob")] == [1, 1, 1]
    assert [s.value for s in store.trajectory("ses_1").scores] == [1.0]


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"x" * 100_000, b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd" + bytes(range(256)) * 4, bytes(range(256))],
    ids=["empty", "small", "large", "zstd magic alone", "zstd magic and more", "incompressible"],
)
def test_a_body_comes_back_byte_for_byte(store: Store, make_session: Make, make_call: MakeCall, body: bytes) -> None:
    name = digest(body)
    store.write([make_session(id="s"), make_call("s", request_envelope=name), BlobRow(digest=name, body=body)])
    assert store.trajectory("s").calls[0].request_envelope == body


def test_text_that_no_database_takes_is_written_with_replacements(store: Store, make_session: Make) -> None:
    store.write([make_session(id="s", error="a\0b\ud800c"), make_session(id="t", error="fine")])
    rows = {row.id: row.error for row in store.sessions()}
    assert rows["t"] == "fine"
    assert rows["s"] is not None
    assert rows["s"].startswith("a")
    assert rows["s"].endswith("c")


def test_a_batch_with_a_value_that_cannot_be_written_leaves_nothing(
    store: Store, make_session: Make, make_call: MakeCall
) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        store.write([make_session(id="s"), make_call("s", prompt_tokens=2**70)])
    assert store.sessions() == []
    store.write([make_session(id="s")])
    assert store.session("s") is not None


def test_sessions_come_newest_first_and_by_run_and_status(store: Store, make_session: Make) -> None:
    store.write(
        [
            make_session(id="a", run="r1", started=1.0),
            make_session(id="b", run="r1", started=3.0, status="ended"),
            make_session(id="c", run="r2", started=2.0),
        ]
    )
    assert [s.id for s in store.sessions()] == ["b", "c", "a"]
    assert [s.id for s in store.sessions(limit=1)] == ["b"]
    assert [s.id for s in store.sessions(run="r1")] == ["b", "a"]
    assert [s.id for s in store.sessions(run="r1", status="open")] == ["a"]
    assert [t.id for t in store.trajectories(run="r1")] == ["b", "a"]


def test_an_id_is_found_by_its_beginning(store: Store, make_session: Make) -> None:
    store.write([RUN, make_session(id="ses_ab1"), make_session(id="ses_ab12"), make_session(id="ses_ac")])
    assert store.resolve("run") == "run_1"
    assert store.resolve("ses_ac") == "ses_ac"
    assert store.resolve("ses_ab1") == "ses_ab1"
    with pytest.raises(UnknownName, match="ses_ab1"):
        store.resolve("ses_ab")
    with pytest.raises(UnknownName, match="ses_%"):
        store.resolve("ses_%")


def test_a_session_that_is_not_there_is_told_with_those_that_are(store: Store, make_session: Make) -> None:
    store.write([make_session(id="ses_there")])
    with pytest.raises(UnknownName, match="ses_there"):
        store.trajectory("ses_their")


def test_a_store_is_shared_by_all_that_open_it(store: Store, store_url: str, make_session: Make) -> None:
    other = Store.open(store_url)
    store.write([make_session(id="a")])
    other.write([make_session(id="b")])
    assert {s.id for s in store.sessions()} == {s.id for s in other.sessions()} == {"a", "b"}
    other.close()


def test_a_store_opened_for_reading_cannot_be_written(store: Store, store_url: str, make_session: Make) -> None:
    store.write([make_session(id="a")])
    reader = Store.open(store_url, read_only=True)
    assert [s.id for s in reader.sessions()] == ["a"]
    with pytest.raises(StoreError, match=r"(?i)read-?only"):
        reader.write([make_session(id="b")])
    assert [s.id for s in reader.sessions()] == ["a"]
    reader.close()


def test_a_closed_store_says_so(store: Store, make_session: Make) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.write([make_session()])


def test_many_may_open_a_new_store_at_once(store_url: str, make_session: Make) -> None:
    def open_and_write(n: int) -> None:
        store = Store.open(store_url)
        store.write([make_session(id=str(n))])
        store.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_and_write, range(16)))
    store = Store.open(store_url)
    assert len(store.sessions()) == 16
    store.close()


def test_a_connection_that_the_server_closed_is_made_anew(postgres_url: str, make_session: Make) -> None:
    store = Store.open(postgres_url)
    store.write([make_session(id="a")])
    assert len(store.sessions()) == 1
    engine = create_engine(parse(postgres_url))
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    engine.dispose()
    store.write([make_session(id="b")])
    assert len(store.sessions()) == 2
    store.close()
