"""What every store must do for live scoring and feedback: give a session to one that asks, and find calls by name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from drawbar.record.rows import AnswerRow, LiveScoringRow, SessionRow
from drawbar.record.store import Store

Make = Callable[..., SessionRow]


def test_of_many_that_ask_one_gets_a_session(store: Store) -> None:
    store.write([LiveScoringRow(session="s", rubric="shop", created=1.0)])
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: store.take("s", "shop", 10.0, 20.0), range(16)))
    assert got.count(True) == 1
    assert not store.take("s", "shop", 19.0, 30.0)
    assert store.take("s", "shop", 21.0, 30.0)


def test_what_is_done_is_neither_due_nor_given(store: Store) -> None:
    rows = [LiveScoringRow(session=name, rubric="shop", created=float(at)) for at, name in enumerate("cab")]
    store.write([*rows, LiveScoringRow(session="x", rubric="other", created=0.0)])
    store.write([LiveScoringRow(session="a", rubric="shop", state="done", created=1.0)])
    assert [row.session for row in store.due(["shop"], 10.0, 10)] == ["c", "b"]
    assert [row.session for row in store.due(["shop"], 10.0, 1)] == ["c"]
    assert not store.take("a", "shop", 10.0, 20.0)
    store.take("c", "shop", 10.0, 20.0)
    assert [row.session for row in store.due(["shop"], 11.0, 10)] == ["b"]


def test_answers_of_one_name_come_newest_first(store: Store) -> None:
    store.write([AnswerRow(name="chatcmpl-1", call=f"call_{n}", session=f"s{n}") for n in (1, 3, 2)])
    store.write([AnswerRow(name="chatcmpl-1", call="call_3", session="s3")])
    assert [row.session for row in store.answers("chatcmpl-1")] == ["s3", "s2", "s1"]
    assert store.answers("chatcmpl-2") == []


def test_sessions_are_found_by_what_their_metadata_say(store: Store, make_session: Make) -> None:
    store.write([make_session(id="old", started=1.0, metadata=b'{"session_id":"t7"}')])
    store.write([make_session(id="new", started=2.0, metadata=b'{"session":"t7"}', owner=b"\x01\xff")])
    assert [row.id for row in store.labelled(["session", "session_id"], "t7")] == ["new", "old"]
    assert store.labelled(["session"], "t8") == []
    found = store.session("new")
    assert found is not None
    assert found.owner == b"\x01\xff"
