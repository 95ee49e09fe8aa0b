"""The node graph: what is known is recognised, what is new is handed out once."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.ids import digest
from drawbar.record import graph as graph_module
from drawbar.record.graph import SessionGraph
from drawbar.record.rows import NodeRow
from drawbar.wire import CHAT
from drawbar.wire.chat import ChatDialect
from drawbar.wire.dialect import BadBody

MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": st.sampled_from(["a", "b", "c", "longer words"])}
    ).map(orjson.dumps),
    min_size=1,
    max_size=8,
)


def _user(words: str) -> bytes:
    return orjson.dumps({"role": "user", "content": words})


def _assistant(words: str, **more: object) -> bytes:
    return orjson.dumps({"role": "assistant", "content": words, **more})


class Parsing(ChatDialect):
    """The chat dialect, keeping what it was asked the canonical form of."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def canonical(self, message: bytes) -> bytes:
        self.asked.append(message)
        return super().canonical(message)


@given(MESSAGES)
def test_a_conversation_makes_one_chain_from_its_root_to_its_last_message(messages: Sequence[bytes]) -> None:
    path, rows = SessionGraph().request(CHAT, messages)
    assert [row.depth for row in rows] == list(range(len(messages)))
    assert [row.parent for row in rows] == [None, *(row.id for row in rows[:-1])]
    assert [row.body for row in rows] == list(messages)
    assert path == [row.id for row in rows]
    for row in rows:
        assert row.id == digest(row.parent or b"", CHAT.canonical(row.body))


@given(MESSAGES, st.data())
def test_any_split_into_requests_gives_the_same_ids_and_stores_each_message_once(
    messages: Sequence[bytes], data: st.DataObject
) -> None:
    whole, rows = SessionGraph().request(CHAT, messages)
    cuts = data.draw(st.lists(st.integers(1, len(messages)), max_size=4).map(sorted))
    graph = SessionGraph()
    handed_out: list[NodeRow] = []
    for cut in [*cuts, len(messages)]:
        path, new = graph.request(CHAT, messages[:cut])
        assert path == whole[:cut]
        handed_out += new
    assert handed_out == rows


@given(MESSAGES, MESSAGES, MESSAGES)
def test_what_two_conversations_begin_with_is_handed_out_once(
    common: Sequence[bytes], one: Sequence[bytes], other: Sequence[bytes]
) -> None:
    graph = SessionGraph()
    _, first = graph.request(CHAT, [*common, *one])
    _, second = graph.request(CHAT, [*common, *other])
    ids = [row.id for row in [*first, *second]]
    assert len(ids) == len(set(ids))
    assert len(second) <= len(other)


def test_a_request_without_messages_has_no_path() -> None:
    assert SessionGraph().request(CHAT, []) == ([], [])


def test_what_is_known_as_bytes_is_not_read_again() -> None:
    dialect, graph = Parsing(), SessionGraph()
    messages = [_user("a"), _assistant("b"), _user("c")]
    path, _ = graph.request(dialect, messages)
    node, _, _ = graph.reply(dialect, path[-1], _assistant("d"))
    dialect.asked.clear()
    again, new = graph.request(dialect, [*messages, _assistant("d"), _user("e")])
    assert dialect.asked == [_user("e")]
    assert [row.parent for row in new] == [node]
    assert new[0].depth == 4
    assert again == [*path, node, new[0].id]


def test_the_same_message_in_other_bytes_is_the_same_node() -> None:
    graph = SessionGraph()
    first, _ = graph.request(CHAT, [b'{"role":"user","content":"a"}'])
    second, new = graph.request(CHAT, [b'{"content": "a", "role": "user"}'])
    assert second == first
    assert new == []


def test_the_same_words_after_another_message_are_another_node() -> None:
    graph = SessionGraph()
    one, _ = graph.request(CHAT, [_user("a"), _user("c")])
    other, new = graph.request(CHAT, [_user("b"), _user("c")])
    assert one != other
    assert len(new) == 2


def test_a_reply_is_handed_out_as_such_and_known_from_then_on() -> None:
    graph = SessionGraph()
    (leaf,), _ = graph.request(CHAT, [_user("a")])
    said = _assistant("b", reasoning_content="because")
    node, rows, body = graph.reply(CHAT, leaf, said)
    assert rows == [NodeRow(id=node, parent=leaf, depth=1, dialect="chat", body=said, said=body)]
    assert body == digest(said)
    assert graph.request(CHAT, [_user("a"), said]) == ([leaf, node], [])
    assert graph.request(CHAT, [_user("a"), _assistant("b")]) == ([leaf, node], [])


@given(MESSAGES, MESSAGES)
def test_messages_that_follow_a_named_node_are_the_same_nodes_as_in_a_whole_conversation(
    before: Sequence[bytes], after: Sequence[bytes]
) -> None:
    whole, rows = SessionGraph().request(CHAT, [*before, *after])
    parent = rows[len(before) - 1]
    fresh = SessionGraph()  # as after a restart
    assert fresh.request(CHAT, after, (parent.id, parent.depth)) == (whole[len(before) - 1 :], rows[len(before) :])
    assert fresh.request(CHAT, [], (parent.id, parent.depth)) == ([parent.id], [])


def test_a_message_that_cannot_be_read_leaves_no_trace() -> None:
    graph = SessionGraph()
    with pytest.raises(BadBody):
        graph.request(CHAT, [_user("a"), b"[]"])
    _, new = graph.request(CHAT, [_user("a")])
    assert len(new) == 1


def test_a_blob_is_handed_out_once() -> None:
    graph = SessionGraph()
    name, rows = graph.blob(b"tools")
    assert [(row.digest, row.body) for row in rows] == [(name, b"tools")]
    assert graph.blob(b"tools") == (name, [])


def test_a_graph_that_was_dropped_hands_everything_out_again() -> None:
    graph = SessionGraph()
    path, first = graph.request(CHAT, [_user("a"), _user("b")])
    graph.blob(b"tools")
    graph.drop()
    node, [reply], _ = graph.reply(CHAT, path[-1], _assistant("c"))
    assert (reply.id, reply.depth) == (node, 2)
    assert graph.request(CHAT, [_user("a"), _user("b")]) == (path, first)
    assert len(graph.blob(b"tools")[1]) == 1


def test_memory_is_bounded_and_ids_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "MOST_REMEMBERED", 10)
    graph = SessionGraph()
    messages = [_user(str(n)) for n in range(8)]
    leaves = set()
    for n in range(100):
        graph.request(CHAT, [_user(f"aside {n}"), _user("b")])
        graph.blob(str(n).encode())
        path, _ = graph.request(CHAT, messages)
        leaves.add(path[-1])
        assert graph.reply(CHAT, path[-1], _assistant("c"))[1][0].depth == 8
    assert len(leaves) == 1
    assert graph.remembered < 100
