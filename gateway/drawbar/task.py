"""A task: one unit of work that a harness is given, and the limits under which it works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import orjson

from drawbar.errors import ConfigurationError
from drawbar.ids import digest

ChatMessage = Mapping[str, Any]
"""One message in the shape of OpenAI chat completions: `role`, `content`, ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a session must stop. `None` means no limit; reaching one is a clean stop, not a failure.

    Raises:
        ConfigurationError: a limit that is no number above 0.
    """

    turns: int | None = None
    """Model exchanges that were answered."""
    tokens: int | None = None
    """Prompt and completion tokens together, over the whole session."""
    cost: float | None = None
    """US dollars, over the whole session."""
    seconds: float | None = None
    """Wall time, from the session's start."""

    def __post_init__(self) -> None:
        given: dict[str, Any] = self.to_dict()
        for name, limit in given.items():
            if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or limit <= 0):
                raise ConfigurationError(f"The limit `{name}` is a number above 0, not {limit!r}.")

    def within(self, outer: Limits | None) -> Limits:
        """The stricter of the two, limit by limit."""
        if outer is None:
            return self
        return Limits(**{f.name: _stricter(getattr(self, f.name), getattr(outer, f.name)) for f in fields(self)})

    def to_dict(self) -> dict[str, int | float | None]:
        """The limits by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _stricter(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else min(a, b)


def user_message(said: object) -> dict[str, Any] | None:
    """What a user says, in chat form; None if it is neither a text nor a chat message of a user's, or says nothing."""
    if isinstance(said, str):
        said = {"content": said}
    if not isinstance(said, Mapping) or said.get("role", "user") != "user":
        return None
    content = said.get("content")
    if not content or not isinstance(content, str | list) or (isinstance(content, str) and not content.strip()):
        return None
    return {"role": "user", **said}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One unit of work.

    Raises:
        ConfigurationError: no prompt, or something in it that JSON cannot hold.
    """

    prompt: str | Sequence[ChatMessage]
    """What the agent is asked: a text, or chat messages (earlier turns included)."""
    answer: Any = None
    """The reference answer, for rewards; the agent never sees it."""
    key: str = ""
    """A stable, human name, unique in the environment. Left empty it is the start of the task's hash."""
    system: str | None = None
    """The system prompt; the environment's, if there is one and this is None."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """Anything else that rewards need (JSON)."""
    limits: Limits | None = None
    """Stricter limits than the environment's, for this task."""
    user_turns: Sequence[str | ChatMessage] = ()
    """What the user says later: one turn after each final answer of the agent's. `drawbar.user` says who plays them."""
    hash: str = field(default="", init=False)
    """Digest of everything but the key (40 hex digits): what resuming and splitting go by. A task without later user
    turns has the hash that it had before there were any."""

    def __post_init__(self) -> None:
        if not self.prompt or (isinstance(self.prompt, str) and not self.prompt.strip()):
            raise ConfigurationError(f"{self._named()} has no prompt. Give it `prompt=`, a text or chat messages.")
        object.__setattr__(self, "user_turns", self._turns())
        object.__setattr__(self, "hash", self._digest())
        if not self.key:
            object.__setattr__(self, "key", self.hash[:12])

    def _named(self) -> str:
        return f"Task {self.key}" if self.key else "A task without a key"

    def _turns(self) -> tuple[str | ChatMessage, ...]:
        if isinstance(self.user_turns, str | Mapping) or not isinstance(self.user_turns, Sequence):
            raise ConfigurationError(f"{self._named()}: `user_turns` is a list of texts or chat messages.")
        for number, turn in enumerate(self.user_turns, 1):
            if user_message(turn) is None:
                raise ConfigurationError(
                    f"{self._named()}: user turn {number} is neither a text nor a chat message of the user's that says "
                    "something."
                )
        return tuple(self.user_turns)

    def _digest(self) -> str:
        limits = None if self.limits is None else self.limits.to_dict()
        later = [self.user_messages] if self.user_turns else []
        try:
            content = orjson.dumps(
                [self.prompt if isinstance(self.prompt, str) else [dict(m) for m in self.prompt],
                 self.answer, self.system, dict(self.info), limits, *later],
                option=orjson.OPT_SORT_KEYS,
            )  # fmt: skip
        except TypeError as error:
            raise ConfigurationError(f"{self._named()} holds something that JSON cannot: {error}") from error
        return digest(content).hex()

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The opening messages in chat form, system prompt first."""
        opening: list[dict[str, Any]] = [] if self.system is None else [{"role": "system", "content": self.system}]
        if isinstance(self.prompt, str):
            return [*opening, {"role": "user", "content": self.prompt}]
        return [*opening, *(dict(message) for message in self.prompt)]

    @property
    def user_messages(self) -> list[dict[str, Any]]:
        """The later user turns in chat form."""
        return [message for turn in self.user_turns if (message := user_message(turn)) is not None]

    def to_json(self) -> bytes:
        """The task as the store keeps it."""
        left_out = ("hash", "limits") if self.user_turns else ("hash", "limits", "user_turns")
        value = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        value["limits"] = None if self.limits is None else self.limits.to_dict()
        return orjson.dumps(value)

    @classmethod
    def from_json(cls, data: bytes | str) -> Task:
        """The task that `to_json` wrote."""
        value = orjson.loads(data)
        if value.get("limits") is not None:
            value["limits"] = Limits(**value["limits"])
        return cls(**value)

    @classmethod
    def recorded(cls, data: bytes | None) -> Task | None:
        """The task of a row; None where there is none, or where redaction left nothing that could be read."""
        try:
            return None if data is None else cls.from_json(data)
        except (ValueError, TypeError, AttributeError):
            return None
