"""Redaction: nothing that the hook takes out ever reaches the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from drawbar.errors import StoreError
from drawbar.ids import digest
from drawbar.record.graph import SessionGraph
from drawbar.record.recorder import Recorder
from drawbar.record.redaction import REDACTED
from drawbar.record.rows import BlobRow, CallRow, HealthRow, NodeRow, RunRow, ScoreRow, SessionRow, ToolCallRow
from drawbar.record.store import Store
from drawbar.wire import CHAT

SECRET = b"sk-secret-0123456789"


def _hide(body: bytes) -> bytes:
    return body.replace(SECRET, b"[hidden]")


def _everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_no_byte_of_a_secret_reaches_the_disk(
    tmp_path: Path,
    make_session: Callable[..., SessionRow],
    make_call: Callable[..., CallRow],
    make_tool_call: Callable[..., ToolCallRow],
) -> None:
    said = b'{"role":"user","content":"my key is %s"}' % SECRET
    words = SECRET.decode()
    store = Store.open(tmp_path / "drawbar.db")
    async with Recorder(store, redact=_hide) as recorder:
        await recorder.commit(
            make_session(id="s", task=b'{"prompt":"%s"}' % SECRET, metadata=b'{"a":"%s"}' % SECRET, error=words),
            make_call("s", request=b"n", tools=digest(said), error=words),
            make_tool_call("s", arguments=b'{"q":"%s"}' % SECRET, result=b'{"r":"%s"}' % SECRET, shown=b"{}"),
            NodeRow(id=b"n", parent=None, depth=0, dialect="chat", body=said),
            BlobRow(digest=digest(said), body=said),
            ScoreRow(
                id="x", session="s", name="a", kind="reward", value=None, weight=1, rubric_version="r",
                source="live", explanation=words, error=words, created=1.0,
            ),
        )  # fmt: skip
        found = store.trajectory("s")
        files = _everything_in(tmp_path)
    store.close()
    assert SECRET not in files
    assert found.messages[0].text == "my key is [hidden]"
    assert found.tool_calls[0].arguments == {"q": "[hidden]"}
    assert found.scores[0].explanation == "[hidden]"


async def test_a_reply_that_its_node_does_not_hold_is_found_again_after_redaction(
    sqlite_store: Store, make_session: Callable[..., SessionRow], make_call: Callable[..., CallRow]
) -> None:
    async with Recorder(sqlite_store, redact=_hide) as recorder:
        for n in range(2):
            thought = f"{SECRET.decode()} {n}"
            message = {"role": "assistant", "content": "Ada", "reasoning_content": thought}
            reply, rows, body = SessionGraph().reply(CHAT, None, orjson.dumps(message))
            call = make_call(str(n), reply=reply, reply_body=body)
            await recorder.commit(make_session(id=str(n)), call, *rows)
    found = [sqlite_store.trajectory(str(n)).messages[0].reasoning for n in range(2)]
    assert found == ["[hidden] 0", "[hidden] 1"]


async def test_where_the_hook_fails_nothing_is_kept(
    sqlite_store: Store, make_session: Callable[..., SessionRow]
) -> None:
    def hook(body: bytes) -> bytes:
        if SECRET in body:
            raise ValueError(f"cannot redact {body.decode()}")
        return body

    async with Recorder(sqlite_store, redact=hook) as recorder:
        with pytest.raises(StoreError, match="redaction hook raised ValueError") as caught:
            await recorder.commit(make_session(id="a", metadata=SECRET))
        await recorder.commit(make_session(id="b"))
    assert SECRET.decode() not in str(caught.value)
    assert [s.id for s in sqlite_store.sessions()] == ["b"]


@pytest.mark.parametrize("kind", [RunRow, SessionRow, BlobRow, NodeRow, CallRow, ToolCallRow, ScoreRow, HealthRow])
def test_every_body_that_is_recorded_goes_through_the_hook(kind: type[Any]) -> None:
    digests = {"id", "parent", "digest", "key_digest", "request", "reply", "reply_body", "tools", "owner"}
    digests |= {"request_envelope", "response_envelope", "said"}
    bodies = {name for name, hint in kind.__annotations__.items() if "bytes" in str(hint)} - digests
    assert bodies <= set(REDACTED[kind])
