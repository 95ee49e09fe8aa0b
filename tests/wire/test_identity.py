"""What agents say of themselves with each request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire.identity import AGENTS, MOST_CHARACTERS, Identity, read_identity


def read(headers: dict[str, str], **fields: Any) -> Identity | None:
    return read_identity(
        {name.encode(): value.encode() for name, value in headers.items()}, json.dumps(fields).encode()
    )


USER_ID = json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s1"})
TURN = json.dumps({"session_id": "s1", "request_kind": "turn"})
COMPACTION = json.dumps({"session_id": "s1", "request_kind": "compaction"})
CODEX = {"x-codex-turn-metadata": TURN, "session-id": "s1", "thread-id": "s1"}

SAID: dict[str, tuple[dict[str, str], dict[str, Any], Identity | None]] = {
    "Claude Code": ({"x-claude-code-session-id": "s1"}, {}, Identity("claude_code", "s1")),
    "its sub-agent": (
        {"x-claude-code-session-id": "s1", "x-claude-code-agent-id": "a2", "x-claude-code-parent-agent-id": "a1"},
        {},
        Identity("claude_code", "s1", "a2", "a1"),
    ),
    "an older Claude Code": (
        {"user-agent": "claude-cli/1.0.0"}, {"metadata": {"user_id": USER_ID}}, Identity("claude_code", "s1"),
    ),
    "Codex": (CODEX, {}, Identity("codex", "s1")),
    "its sub-agent with a thread": (
        {**CODEX, "thread-id": "t2", "x-codex-parent-thread-id": "s1", "x-openai-subagent": "collab_spawn"},
        {},
        Identity("codex", "s1", "t2", "s1", "sub_agent"),
    ),
    "its compaction": (
        {**CODEX, "x-codex-turn-metadata": COMPACTION},
        {},
        Identity("codex", "s1", purpose="compaction"),
    ),
    "opencode": ({"user-agent": "opencode/1.2", "x-session-id": "s1"}, {}, Identity("opencode", "s1")),
    "its child": (
        {"user-agent": "opencode/1.2", "x-session-id": "s2", "x-parent-session-id": "s1"},
        {},
        Identity("opencode", "s2", "s2", "s1"),
    ),
    "Copilot with Responses": (
        {"x-initiator": "user", "x-interaction-type": "conversation-compaction"},
        {"prompt_cache_key": "k1"},
        Identity("copilot", "k1", purpose="compaction"),
    ),
    "Copilot with chat": (
        {"x-initiator": "agent", "x-interaction-type": "conversation-subagent"}, {},
        Identity("copilot", None, purpose="sub_agent"),
    ),
    "pi": ({"session_id": "s1"}, {"prompt_cache_key": "s1"}, Identity("pi", "s1")),
    "verifiers": ({"x-session-id": "s1"}, {}, Identity("verifiers", "s1")),
    "an SDK whose user chose a cache key": ({"user-agent": "OpenAI/Python 2"}, {"prompt_cache_key": "app"}, None),
    "a user id that is none of an agent's": ({"user-agent": "x"}, {"metadata": {"user_id": USER_ID}}, None),
}  # fmt: skip


@pytest.mark.parametrize("who", SAID)
def test_an_agent_is_known_by_what_it_sends(who: str) -> None:
    headers, fields, expected = SAID[who]
    assert read(headers, **fields) == expected


@pytest.mark.parametrize("said", ["", "x" * (MOST_CHARACTERS + 1), "a\nb", "\0", "\x80"])
def test_a_name_that_cannot_be_one_is_none(said: str) -> None:
    assert read({"x-claude-code-session-id": said}) == Identity("claude_code", None)


@pytest.mark.parametrize("said", [r"\ud800", r"a\u0000", r"\u202e"])
def test_a_name_that_cannot_be_written_is_none(said: str) -> None:
    envelope = json.dumps({"metadata": {"user_id": f'{{"session_id":"{said}"}}'}}).encode()
    assert read_identity({b"user-agent": b"claude-cli/2"}, envelope) == Identity("claude_code", None)


@given(
    st.dictionaries(
        st.sampled_from([agent.mark[0] for agent in AGENTS]),
        st.one_of(st.binary(max_size=40), st.just(b'{"a":[1')),
        min_size=1,
    ),
    st.one_of(
        st.binary(max_size=60), st.sampled_from([b'{"metadata":3}', b'{"metadata":{"user_id":"{"}}', b"[]", b"{}"])
    ),
)
def test_whatever_is_sent_is_read(headers: dict[bytes, bytes], envelope: bytes) -> None:
    identity = read_identity(headers, envelope)
    assert identity is None or identity.agent in {agent.name for agent in AGENTS}
