"""A candidate: one recorded session as the task that it could become. Plain data; knows no store and no file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from drawbar.task import ChatMessage
from drawbar.tools.cassettes.format import Recording

AnswerSource: TypeAlias = Literal["correction", "accepted", "task"]

_REMINDER: Final = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Everything that one task is made of. Functions over candidates return new ones (`dataclasses.replace`)."""

    session: str
    """The id of the session that it came from."""
    key: str
    """The task's key: unique among the candidates, and the same each time that the session is captured."""
    opening: tuple[ChatMessage, ...]
    """Chat messages of its first request, without the system prompt: one of the user's as a rule; more where the
    session began in the middle of a conversation, and then the last may be a tool's result."""
    system: str | None = None
    user_turns: tuple[str | ChatMessage, ...] = ()
    """What the user said later, in order."""
    answer: Any = None
    """The reference answer, for rewards: a text, or what a rollout's task has; `answer_source` says what it is."""
    answer_source: AnswerSource | None = None
    """correction (somebody said what should have been answered) | accepted (the session's answer, which somebody
    liked) | task (of a rollout: its task's own)"""
    recorded: str = ""
    """The words of the session's last answer, good or bad: what a judge compares a new one with."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """Of a rollout: what its task had there for rewards."""

    started: float = 0.0
    """Unix seconds."""
    family: str = ""
    """The same for sessions that belong together: those that continue one another, and the rollouts of one task."""
    user: str | None = None
    tags: tuple[str, ...] = ()
    release: str | None = None
    environment: str | None = None
    """As its client named it, or of its run."""
    model: str | None = None
    harness: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    """Everything else that its client said of itself."""
    reward: float | None = None
    feedback: Mapping[str, float | str] = field(default_factory=dict)
    """What people said: `thumbs` (1 or 0), numbers by name, the texts `correction` and `comment`; the last of each."""

    turns: int = 0
    """Model exchanges that were answered."""
    tokens: int = 0
    cost: float | None = None
    seconds: float | None = None
    tools: Mapping[str, int] = field(default_factory=dict)
    """How often each tool was called, by `server.tool`."""
    tool_errors: int = 0
    lost: tuple[str, ...] = ()
    """What of its messages a task cannot say, in words."""
    recordings: Iterable[Recording] = ()
    """Its tool calls, read anew each time that they are gone through: they are kept on disk, not here."""
    merged: tuple[Candidate, ...] = ()
    """Near duplicates that it stands for; they have no `merged` of their own."""

    @property
    def request(self) -> str:
        """What its user asks at the beginning, without what the agent put around that."""
        asked = next((words(each) for each in reversed(self.opening) if each.get("role") == "user"), "")
        return spoken(asked) or asked

    @property
    def count(self) -> int:
        """How many sessions it stands for, its own among them."""
        return 1 + len(self.merged)

    @property
    def sessions(self) -> tuple[str, ...]:
        """Their ids, its own first."""
        return (self.session, *(other.session for other in self.merged))

    @property
    def families(self) -> frozenset[str]:
        """Of all sessions that it stands for."""
        return frozenset({self.family, *(other.family for other in self.merged)})

    @property
    def users(self) -> frozenset[str]:
        """Of all sessions that it stands for, as far as they are known."""
        found = (self.user, *(other.user for other in self.merged))
        return frozenset(user for user in found if user is not None)


def spoken(text: str) -> str:
    """A user's message without the reminders that agents put into it."""
    return _REMINDER.sub("", text).strip()


def words(message: str | ChatMessage) -> str:
    """The text of a chat message."""
    content = message if isinstance(message, str) else message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, Mapping) and "text" in part)
    return content if isinstance(content, str) else ""


def json_changed(value: Any, text: Callable[[str], str]) -> Any:
    """A JSON value with each of its strings passed through `text`; the names of fields stay, and tuples stay tuples."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {name: json_changed(each, text) for name, each in value.items()}
    if isinstance(value, list):
        return [json_changed(each, text) for each in value]
    if isinstance(value, tuple):
        return tuple(json_changed(each, text) for each in value)
    return value
