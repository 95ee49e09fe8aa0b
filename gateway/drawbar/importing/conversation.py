"""What any other program's file tells of one session: model exchanges in chat messages, results of tools, scores.

Readers of formats make these; `building` makes the rows. A message is a chat message as OpenAI made them, its reasoning
under `reasoning_content`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from drawbar.task import Task
from drawbar.wire.dialect import Usage

ChatMessage: TypeAlias = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One model call. Times are unix seconds; None: the file does not tell."""

    asked: Sequence[ChatMessage]
    """All that the model was asked with, from the beginning."""
    reply: ChatMessage | None
    model: str | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    """What it was offered, as chat completions define tools."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    finish: str | None = None
    error: str | None = None
    """Why there is no reply."""
    usage: Usage = field(default_factory=Usage)
    tokens: Mapping[str, Any] = field(default_factory=dict)
    """`prompt_token_ids`, `token_ids`, `logprobs`, as far as they are told."""
    started: float | None = None
    ended: float | None = None
    purpose: str | None = None
    """main | sub_agent | compaction | side, where the file says so."""
    thread: str | None = None


@dataclass(slots=True)
class Outcome:
    """How a tool call ended, beside the words that the model was shown."""

    content: Any = None
    """As a chat message's content; None: what the model was shown."""
    error: str | None = None
    started: float | None = None
    ended: float | None = None


@dataclass(slots=True, kw_only=True)
class Given:
    """One score."""

    name: str
    value: float | None
    weight: float = 0.0
    """0: a metric."""
    explanation: str | None = None
    error: str | None = None


@dataclass(slots=True, kw_only=True)
class OfRun:
    """The run that a session belongs to."""

    id: str
    """As the other program calls it."""
    rollouts: int = 1
    status: str = "finished"
    started: float | None = None
    ended: float | None = None


@dataclass(slots=True, kw_only=True)
class Conversation:
    """One session."""

    content: bytes
    """What it is known again by: the same bytes are the same session."""
    exchanges: Sequence[Exchange]
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    """By the id of the model's tool call."""
    scores: Sequence[Given] = ()
    id: str | None = None
    """As the other program calls it."""
    run: OfRun | None = None
    environment: str | None = None
    environment_version: str | None = None
    task: Task | None = None
    rollout: int = 0
    harness: str | None = None
    model: str | None = None
    stop: str = "completed"
    """A name from `drawbar.causes`."""
    error: str | None = None
    started: float | None = None
    ended: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the other program noted of it; `imported` is ours."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """More for `metadata.imported`: the other program's version, say."""
    losses: Counter[str] = field(default_factory=Counter)
    """What of it has no place in the store."""
