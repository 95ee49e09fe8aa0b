"""Requests that name no session of ours, from agents that call theirs whatever: none takes another's place."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.proxy.mutated.mutations import MEGABYTE, answers, hostile, written

from drawbar.sessions import SessionSpec

if TYPE_CHECKING:
    from tests.proxy.mutated.conftest import Bench

MARKS: Final = (
    (b"x-claude-code-session-id", b""), (b"user-agent", b"claude-cli/2"), (b"x-codex-turn-metadata", b""),
    (b"user-agent", b"opencode/1"), (b"x-initiator", b"user"), (b"session_id", b""), (b"x-session-id", b""),
)  # fmt: skip
"""What tells an agent: a header's name, and what its value begins with."""
NAMES: Final = (
    b"x-claude-code-session-id", b"x-claude-code-agent-id", b"x-claude-code-parent-agent-id", b"session-id",
    b"thread-id", b"x-codex-turn-metadata", b"x-codex-parent-thread-id", b"x-openai-subagent", b"x-session-id",
    b"x-parent-session-id", b"x-interaction-type", b"x-initiator", b"session_id", b"x-client-request-id",
)  # fmt: skip
FIELDS: Final = (
    "prompt_cache_key",
    "metadata",
    "client_metadata",
    "previous_response_id",
    "conversation",
    "user",
    "thread",
)
FEW_AND_MANY: Final = [150, pytest.param(5_000, marks=pytest.mark.slow)]


def word(rng: random.Random, others: list[str]) -> bytes:
    """What an agent calls its session: anything, also by another's name."""
    return rng.choice((
        b"", b" ", b"a", b"a", b"\xff\xfe", b"\x80" * 50, b"x" * 199, b"x" * 5_000, b"../..", b"null", b"{}",
        b'{"session_id":"a"}', b'{"session_id":"\\ud800"}', b'{"session_id":"\\u0000"}', b'{"session_id":[]}',
        b"[" * 2_000, b'{"request_kind":{}}', rng.choice(others).encode(),
        b'{"session_id":"%b"}' % rng.choice(others).encode(),
    ))  # fmt: skip


def request(rng: random.Random, number: int, others: list[str]) -> dict[str, Any]:
    mark, start = rng.choice(MARKS)
    headers = [(name, word(rng, others)) for name in rng.sample(NAMES, rng.randrange(5)) if name != mark]
    body: dict[str, Any] = {
        "model": "m",
        "input": f"hi {number}",
        "messages": [{"role": "user", "content": f"hi {number}"}],
    }
    for field in rng.sample(FIELDS, rng.randrange(3)):
        body[field] = hostile(rng) if rng.random() < 0.5 else word(rng, others).decode("latin-1")
    if rng.random() < 0.5:
        inner = {"session_id": hostile(rng) if rng.random() < 0.5 else rng.choice((*others, "\ud800", "\x00"))}
        body["metadata"] = {
            "user_id": rng.choice((written(inner).decode("utf-8", "replace"), hostile(rng)))
            if rng.random() < 0.9
            else "x" * MEGABYTE
        }
    path = rng.choice(("/v1/chat/completions", "/v1/responses", "/v1/messages"))
    return {"path": path, "body": written(body), "headers": [(mark, start + word(rng, others)), *headers]}


@pytest.mark.parametrize("count", FEW_AND_MANY)
async def test_no_name_is_a_failure_of_ours_or_leads_into_a_session_of_another(bench: Bench, count: int) -> None:
    theirs = await bench.gateway.open(SessionSpec())
    others = [theirs.id, theirs.key, "dbk_unknown"]
    bench.liar.usual.parts = [answers("chat")[0]]
    memory = bench.memory(count // 25)
    for start in range(0, count, 25):
        asked = [request(random.Random(at), at, others) for at in range(start, start + 25)]
        heard = await asyncio.gather(*(bench.ask(**one) for one in asked))
        for at, (one, said) in enumerate(zip(asked, heard, strict=True), start=start):
            native = one["path"] == "/v1/chat/completions"
            assert said.status == 200 or (said.status == 502 and not native) or said.status == 400, (at, said)
        bench.asked += 25
        memory.look()
        assert not bench.log, (start, bench.log[0].getMessage())
    memory.must_not_have_grown()
    await bench.gateway.end(theirs.id, stop="completed")
    bench.seen(theirs.id, 0)
    await bench.still_works()
    for row in bench.gateway.store.sessions(limit=200):
        bench.seen(row.id)
