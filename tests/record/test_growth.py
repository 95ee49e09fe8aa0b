"""A store grows with what is new in a conversation, not with its length."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from drawbar.ids import new_id
from drawbar.record.graph import SessionGraph
from drawbar.record.recorder import Recorder
from drawbar.record.rows import CallRow, Row, SessionRow
from drawbar.record.store import Store
from drawbar.wire import CHAT

TURNS = 60


def _words(chance: random.Random, length: int) -> str:
    return "".join(chance.choices("abcdefghij klmnop qrstuv wxyz", k=length))


@pytest.mark.parametrize(("size", "compressed"), [(3400, False), (3400, True), (2400, True), (1600, True)], ids=str)
async def test_sixty_turns_take_at_most_1_3_times_their_new_content(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_session: Callable[..., SessionRow],
    size: int,
    compressed: bool,
) -> None:
    """Measured as the file's growth on disk; `size` is that of one message. 3,400 are a 200 KB conversation of 60
    messages.

    Without compression a message of about half a page would waste the rest of it; with it there is room to spare.
    """
    if not compressed:
        monkeypatch.setattr("drawbar.record.codec.THRESHOLD", 10**9)
    Store.open(tmp_path / "empty.db").close()
    store, chance, graph = Store.open(tmp_path / "drawbar.db"), random.Random(1), SessionGraph()
    session = make_session()
    tools = orjson.dumps([{"type": "function", "function": {"name": f"tool_{n}"}} for n in range(20)])
    said: list[bytes] = []
    new = len(tools)
    async with Recorder(store) as recorder:
        await recorder.commit(session)
        for n in range(TURNS):
            said.append(orjson.dumps({"role": "user", "content": _words(chance, size)}))
            answer = orjson.dumps({"role": "assistant", "content": _words(chance, size)})
            envelope = orjson.dumps({"id": new_id("chatcmpl"), "object": "chat.completion", "created": n, "model": "m"})
            new += len(said[-1]) + len(answer) + len(envelope)
            for rows in _turn(graph, session.id, n, said, answer, tools, envelope):
                await recorder.commit(*rows)
            said.append(answer)
    store.close()
    assert (tmp_path / "drawbar.db").stat().st_size - (tmp_path / "empty.db").stat().st_size <= 1.3 * new


def _turn(
    graph: SessionGraph, session: str, n: int, said: list[bytes], answer: bytes, tools: bytes, envelope: bytes
) -> list[list[Row]]:
    """The rows of one turn's intent and of its end."""
    path, nodes = graph.request(CHAT, said)
    offered, blobs = graph.blob(tools)
    name, more = graph.blob(b'{"temperature":0}')
    call = CallRow(
        id=new_id("call"), session=session, seq=n, dialect="chat", path="/v1/chat/completions", model="gpt",
        request=path[-1], tools=offered, request_envelope=name, started=1.0,
    )  # fmt: skip
    intent: list[Row] = [call, *nodes, *blobs, *more]
    reply, replies, body = graph.reply(CHAT, path[-1], answer)
    response, last = graph.blob(envelope)
    end = replace(
        call, upstream="openai/gpt", reply=reply, reply_body=body, response_envelope=response, status="answered",
        http_status=200, finish="stop", attempts=1, prompt_tokens=9000, completion_tokens=300, ended=2.0,
    )  # fmt: skip
    return [intent, [*replies, *last, end]]
