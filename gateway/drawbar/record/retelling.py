"""Replies that come back in other words: whether one is meant, and how much of it is there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from drawbar.wire.message import Message

_TELLING = 8
"""Characters of an id, or of a reply's words, that do not stand in another reply by accident."""
_LONG = 24
"""Characters of a reply that nobody else gives by accident."""


def likeness(said: Message, again: Message) -> int:
    """How surely a message of an agent is this reply told anew: 3 by the ids of its tool calls, 2 by all that it says
    and asks for, 1 by its words, which stand in it; 0: not at all."""
    uses = said.tool_uses
    ids = {use.id for use in uses}
    if ids & {use.id for use in again.tool_uses} or any(len(id) >= _TELLING and id in again.text for id in ids):
        return 3
    if _content(said) == _content(again):
        return 2
    words = said.text.strip()
    return 1 if not uses and len(words) >= _TELLING and words in again.text else 0


def retold(said: Message, again: Message) -> Literal["exact", "without_reasoning", "rewritten"]:
    """What of the reply is said again. That an agent drops the ids of tool calls changes nothing."""
    if _content(said) != _content(again):
        return "rewritten"
    return "without_reasoning" if said.reasoning and not again.reasoning else "exact"


def is_telling(said: Message) -> bool:
    """Whether a reply says enough to be known by it, whatever it is found in."""
    return bool(said.tool_uses) or len(said.text.strip()) >= _LONG


def _content(message: Message) -> tuple[str, Sequence[tuple[str, Any]]]:
    return message.text.strip(), [(use.name, use.arguments) for use in message.tool_uses]
