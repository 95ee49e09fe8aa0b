"""The opening messages of a task, for agents that take a prompt and not a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def prompt_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """All that the user says, in one text."""
    return _said_by("user", messages)


def system_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """The system prompt, or nothing."""
    return _said_by("system", messages)


def _said_by(role: str, messages: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(_words(message.get("content")) for message in messages if message.get("role") == role)


def _words(content: Any) -> str:
    """The text of a message's content, whether it is one text or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content or () if part.get("type") == "text")
