"""The seam between a dialect and the chat dialect: requests of the one as conversations of the other, and back.

It serves models that take chat alone: Python functions in this process, and providers that speak nothing else. Nothing
that passes between an agent and a provider of the same dialect is translated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from drawbar.wire.chat_message import normal
from drawbar.wire.dialect import Usage
from drawbar.wire.message import Message
from drawbar.wire.tolerant import dump, load


@dataclass(frozen=True, slots=True)
class Chat:
    """A request as the chat dialect has it."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    names: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """For tools that have another name or form in the dialect: what their calls have there, by their name in chat."""
    lost: Sequence[str] = ()
    """What of the conversation and its tools the chat dialect cannot say, in words."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else the request wants (temperature, forced tools, formats), as fields of a chat request."""
    unsaid: Sequence[str] = ()
    """What of that no field of a chat request says, in words. Models that heed no settings lose nothing by it."""


@dataclass(frozen=True, slots=True)
class Said:
    """A model's reply, and what stands around it in an answer."""

    message: Mapping[str, Any]
    """The assistant's message, in the chat dialect."""
    model: str
    prompt_tokens: int | None
    """None: nobody counted."""
    completion_tokens: int | None
    id: str
    """Unique, without the prefix that a dialect's ids have."""
    created: int
    """Unix seconds."""
    finish: str | None = None
    """Why the model stopped, in chat's word; None: by what its message holds."""
    counts: Usage = field(default_factory=Usage)
    """Further counts of tokens, where they are known."""
    reply: Message | None = None
    """The message in normal form, where it is known already."""

    def normal(self) -> Message:
        """The message in normal form."""
        return normal(dump(self.message)) if self.reply is None else self.reply


class Translator(Protocol):
    """Between one dialect and chat. Pure."""

    def chat(self, body: bytes) -> Chat:
        """A request, without the settings that only providers read. Raises `BadBody`."""

    def recalled(self, body: bytes, conversation: Sequence[bytes]) -> bytes:
        """A request that goes on from an earlier reply by its name, with the conversation up to that reply instead of
        the name: messages as the dialect's requests are split into. Raises `BadBody`."""

    def answer(self, said: Said, asked: Chat) -> dict[str, Any]:
        """The native answer that carries this reply."""

    def events(self, answer: Mapping[str, Any], body: bytes) -> list[bytes]:
        """A native answer as the payloads of the stream as which it would have come to this request."""

    def count(self, tokens: int) -> bytes:
        """The native answer to a request to count tokens."""


def events_of(translator: Translator, answer: bytes, body: bytes) -> list[bytes]:
    """A whole answer as it came, as the payloads of a stream. Raises `BadBody`."""
    value = load(answer)
    return translator.events(value, body) if isinstance(value, dict) else [dump(value)]
