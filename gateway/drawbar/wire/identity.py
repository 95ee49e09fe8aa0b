"""Who asks: what agents say of themselves with each request. One row of `AGENTS` for each; a new agent adds its own.

A session's name is what the agent calls one piece of its work: it is the same in all of its requests, also after a
resume, and no other run has it. A thread is one conversation inside of it: sub-agents have threads of their own. Agents
that are not here (Gemini CLI, Qwen Code, Cline, every plain SDK) say nothing that is worth trusting; what they ask is
taken together by what it goes on from. Only what is truly of one piece of work is used: a `prompt_cache_key` that an
SDK's user chose may be shared by thousands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import load

Purpose: TypeAlias = Literal["main", "sub_agent", "compaction", "side"]

MOST_CHARACTERS: Final = 200
"""Of a name: longer ones are nobody's ids."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What one request says of who asks."""

    agent: str
    session: str | None
    """The agent's name for its session; None: it has none, or the request does not tell it."""
    thread: str | None = None
    """Its name for the thread that asks; None: the main one."""
    parent: str | None = None
    """The thread that started `thread`, where the agent names it."""
    purpose: Purpose | None = None
    """What the request is for, where the agent says so."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: in a header, or in the body's fields; inside of JSON text, if `inside` names a field."""

    header: bytes | None = None
    field: tuple[str, ...] = ()
    inside: str | None = None

    def read(self, headers: Mapping[bytes, bytes], envelope: bytes) -> str | None:
        """The value; None where there is none that can be read."""
        found: Any
        if self.header is not None:
            raw = headers.get(self.header)
            found = None if raw is None else raw.decode("latin-1")
        else:
            found = _at(self.field, envelope)
        if self.inside is not None and isinstance(found, str):
            found = _inside(found, self.inside)
        return found if isinstance(found, str) and 0 < len(found) <= MOST_CHARACTERS and found.isprintable() else None


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent's ways. `mark`: a header that it alone sends, and what its value begins with."""

    name: str
    mark: tuple[bytes, bytes]
    session: tuple[Place, ...] = ()
    thread: Place | None = None
    """Where this is the session's name too, it is the main thread."""
    parent: Place | None = None
    purpose: tuple[tuple[Place, Mapping[str, Purpose]], ...] = ()
    """Where it says what a request is for, and its words for that; under `*`: all others."""

    def made(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request with these headers is this agent's."""
        value = headers.get(self.mark[0])
        return value is not None and value.startswith(self.mark[1])

    def read(self, headers: Mapping[bytes, bytes], envelope: bytes) -> Identity:
        """What the request says."""
        session = _first(self.session, headers, envelope)
        thread = self.thread.read(headers, envelope) if self.thread is not None else None
        parent = self.parent.read(headers, envelope) if self.parent is not None else None
        purpose: Purpose | None = None
        for place, words in self.purpose:
            word = place.read(headers, envelope)
            purpose = purpose or (words.get(word, words.get("*")) if word is not None else None)
        if thread is not None and thread == session and parent is None:
            thread = None
        return Identity(self.name, session, thread, parent, purpose)


AGENTS: Final[tuple[Agent, ...]] = (
    Agent(
        "claude_code",
        mark=(b"x-claude-code-session-id", b""),
        session=(Place(header=b"x-claude-code-session-id"),),
        thread=Place(header=b"x-claude-code-agent-id"),
        parent=Place(header=b"x-claude-code-parent-agent-id"),
    ),
    Agent(
        "claude_code",  # before it sent headers
        mark=(b"user-agent", b"claude-cli/"),
        session=(Place(field=("metadata", "user_id"), inside="session_id"),),
    ),
    Agent(
        "codex",
        mark=(b"x-codex-turn-metadata", b""),
        session=(Place(header=b"session-id"), Place(header=b"thread-id")),
        thread=Place(header=b"thread-id"),
        parent=Place(header=b"x-codex-parent-thread-id"),
        purpose=(
            (Place(header=b"x-codex-turn-metadata", inside="request_kind"), {"compaction": "compaction"}),
            (
                Place(header=b"x-openai-subagent"),
                {"compact": "compaction", "memory_consolidation": "side", "*": "sub_agent"},
            ),
        ),
    ),
    Agent(
        "opencode",
        mark=(b"user-agent", b"opencode/"),
        session=(Place(header=b"x-session-id"), Place(field=("prompt_cache_key",))),
        thread=Place(header=b"x-session-id"),
        parent=Place(header=b"x-parent-session-id"),
    ),
    Agent(
        "copilot",
        mark=(b"x-initiator", b""),
        session=(Place(field=("prompt_cache_key",)),),
        purpose=(
            (
                Place(header=b"x-interaction-type"),
                {"conversation-subagent": "sub_agent", "conversation-compaction": "compaction"},
            ),
        ),
    ),
    Agent("pi", mark=(b"session_id", b""), session=(Place(header=b"session_id"),)),
    Agent("verifiers", mark=(b"x-session-id", b""), session=(Place(header=b"x-session-id"),)),
)
"""In the order in which they are tried."""


def read_identity(headers: Mapping[bytes, bytes], envelope: bytes) -> Identity | None:
    """Who made a request with these headers (names in lower case) and these fields beside its messages (`envelope`, a
    JSON object); None for an agent that does not say."""
    agent = next((agent for agent in AGENTS if agent.made(headers)), None)
    return agent.read(headers, envelope) if agent is not None else None


def _first(places: tuple[Place, ...], headers: Mapping[bytes, bytes], envelope: bytes) -> str | None:
    found = (place.read(headers, envelope) for place in places)
    return next((name for name in found if name is not None), None)


def _at(path: tuple[str, ...], envelope: bytes) -> Any:
    """The value at a path of fields. Most envelopes do not hold the first of them, and are then not parsed."""
    if path[0].encode() not in envelope:
        return None
    value: Any = _loaded(envelope)
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _inside(text: str, name: str) -> Any:
    value = _loaded(text)
    return value.get(name) if isinstance(value, dict) else None


def _loaded(raw: bytes | str) -> Any:
    try:
        return load(raw)
    except BadBody:
        return None
