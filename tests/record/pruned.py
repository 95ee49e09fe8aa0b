"""Sessions to prune: made of few words, so that many of them share messages; and what a store must hold of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import create_engine, select

from drawbar.ids import digest
from drawbar.record import schema
from drawbar.record.database import parse
from drawbar.record.graph import SessionGraph
from drawbar.record.rows import (
    AnswerRow,
    BlobRow,
    CallRow,
    HealthRow,
    LiveScoringRow,
    Row,
    ScoreRow,
    SessionRow,
    ToolCallRow,
)
from drawbar.record.store import Store
from drawbar.wire import CHAT

TOOLS = b'[{"name":"search"}]'


def session_rows(
    id: str, words: Sequence[str], *, ended: float | None = 100.0, graph: SessionGraph | None = None, **fields: Any
) -> list[Row]:
    """A session in which each word is said and answered, as a gateway writes it."""
    graph = graph or SessionGraph()
    status = "open" if ended is None else "ended"
    rows: list[Row] = [
        SessionRow(id=id, **{"started": 1.0, "ended": ended, "status": status, "metadata": b'{"user":"ada"}', **fields})
    ]
    said = [orjson.dumps({"role": "system", "content": "Be brief."})]
    for seq, word in enumerate(words):
        said.append(orjson.dumps({"role": "user", "content": word}))
        path, nodes = graph.request(CHAT, said)
        tools, tool_blobs = graph.blob(TOOLS)
        envelope, blobs = graph.blob(orjson.dumps({"temperature": len(word)}))
        rows += [*nodes, *tool_blobs, *blobs]
        # What a reply says beside its content is not part of its node: others' words are kept apart.
        said.append(orjson.dumps({"role": "assistant", "content": word, "reasoning_content": f"{id} thinks"}))
        reply, nodes, body = graph.reply(CHAT, path[-1], said[-1])
        told = orjson.dumps({"id": f"answer-{id}-{seq}"})
        rows += [*nodes, BlobRow(digest=digest(told), body=told)]
        rows.append(
            CallRow(
                id=f"{id}-{seq}", session=id, seq=seq, dialect="chat", path="/", model="m", request=path[-1],
                reply=reply, reply_body=body, tools=tools, request_envelope=envelope, response_envelope=digest(told),
                status="answered", started=2.0 + seq, ended=3.0 + seq,
            )
        )  # fmt: skip
        rows.append(AnswerRow(name=f"answer-{id}-{seq}", call=f"{id}-{seq}", session=id))
        rows.append(
            ToolCallRow(
                id=f"tool-{seq}", session=id, seq=seq, server="wiki", tool="search", name="search",
                arguments=b"{}", result=b'{"content":[]}', status="answered", started=2.5 + seq, ended=2.6 + seq,
            )
        )  # fmt: skip
    if ended is not None:
        rows += [
            HealthRow(session=id, findings=b"[]", created=ended),
            ScoreRow(
                id="score", session=id, name="good", kind="reward", value=1.0, weight=1.0, rubric_version="v",
                source="live", created=ended,
            ),
            LiveScoringRow(session=id, rubric="shop", state="done", created=ended),
        ]  # fmt: skip
    return rows


def random_words(chosen: random.Random) -> list[str]:
    return [chosen.choice("ab") for _ in range(chosen.randint(1, 5))]


def rows_of(store: Store, table: str) -> list[tuple[Any, ...]]:
    with store.reading() as connection:
        return sorted(map(tuple, connection.execute(select(schema.METADATA.tables[table]))), key=repr)


def sessions_named(store: Store) -> set[str]:
    """Every session that a row of any table is about."""
    found: set[str] = set()
    for name, table in schema.METADATA.tables.items():
        if "session" in table.c and name != "leaving":
            column = table.columns.keys().index("session")
            found |= {row[column] for row in rows_of(store, name)}
    return found | {row[0] for row in rows_of(store, "session")}


def holds_just_what_is_needed(store: Store) -> None:
    """Every node and blob that a call needs is there, and no other; nothing is left over of what was deleted."""
    parents = {bytes(row[0]): row[1] for row in rows_of(store, "node")}
    calls = [dict(zip(schema.call.columns.keys(), row, strict=True)) for row in rows_of(store, "call")]
    needed: set[bytes] = set()
    for leaf in _named(calls, ("request", "reply")):
        at: bytes | None = leaf
        while at is not None and at not in needed:
            assert at in parents, "a node that is needed is gone"
            needed.add(at)
            at = None if parents[at] is None else bytes(parents[at])
    assert needed == set(parents)
    blobs = {bytes(row[0]) for row in rows_of(store, "blob")}
    assert set(_named(calls, ("tools", "request_envelope", "response_envelope"))) <= blobs
    assert blobs <= set(_named(calls, ("reply_body", "tools", "request_envelope", "response_envelope")))
    assert sessions_named(store) <= {row[0] for row in rows_of(store, "session")}
    for table in ("leaving", "loose_node", "loose_blob"):
        assert rows_of(store, table) == []


def _named(calls: Iterable[dict[str, Any]], columns: Sequence[str]) -> Iterable[bytes]:
    return (bytes(call[name]) for call in calls for name in columns if call[name] is not None)


def told(store: Store, ids: Iterable[str]) -> dict[str, Any]:
    """All that can be read of these sessions."""
    return {id: repr(store.trajectory(id)) for id in ids}


def empty(store: Store) -> None:
    """Make a store as it was when it was made."""
    engine = create_engine(parse(store.url))
    with engine.begin() as connection:
        for table in schema.METADATA.tables.values():
            if table.name != "meta":
                connection.execute(table.delete())
    engine.dispose()
