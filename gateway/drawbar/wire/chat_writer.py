"""Conversations in normal form, written in the chat dialect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drawbar.wire.message import Block, Media, Message, Other, Reasoning, Text, ToolResult, ToolUse


def chat_messages(messages: Iterable[Message], lost: dict[str, None]) -> list[dict[str, Any]]:
    """The messages of a chat completions request. What cannot be said there is noted in `lost`, once each."""
    found: list[dict[str, Any]] = []
    for message in messages:
        found += _assistant(message, lost) if message.role == "assistant" else _others(message, lost)
    return found


def _assistant(message: Message, lost: dict[str, None]) -> list[dict[str, Any]]:
    _note(message.blocks, lost)
    written: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    if message.reasoning:
        written["reasoning_content"] = message.reasoning
    if message.tool_uses:
        written["tool_calls"] = [_call(use) for use in message.tool_uses]
    return [written]


def _call(use: ToolUse) -> dict[str, Any]:
    return {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.raw or "{}"}}


def _others(message: Message, lost: dict[str, None]) -> list[dict[str, Any]]:
    """Results of tools stand in messages of their own, before whatever came with them."""
    _note(message.blocks, lost)
    found: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": result.tool_use_id, "content": result.text} for result in message.tool_results
    ]
    rest = [block for block in message.blocks if isinstance(block, Text | Media)]
    if rest or not found:
        found.append({"role": "system" if message.role == "system" else "user", "content": _content(rest)})
    return found


def _content(blocks: list[Text | Media]) -> Any:
    """One text where there are only texts: models that are functions look for words in it."""
    if all(isinstance(block, Text) for block in blocks):
        return "\n".join(block.text for block in blocks if isinstance(block, Text))
    return [
        {"type": "text", "text": block.text}
        if isinstance(block, Text)
        else {"type": "image_url", "image_url": {"url": block.url}}
        for block in blocks
    ]


def _note(blocks: Iterable[Block], lost: dict[str, None]) -> None:
    for block in blocks:
        if isinstance(block, Other):
            lost[f"a block of type {block.raw.get('type', 'unknown')}"] = None
        elif isinstance(block, Reasoning) and block.signature:
            lost["signatures of reasoning"] = None
        elif isinstance(block, ToolResult) and block.is_error:
            lost["the mark of a tool's error"] = None


def function(name: str, description: Any, parameters: Any) -> dict[str, Any]:
    """A tool's definition."""
    described = {"description": description} if isinstance(description, str) else {}
    schema = parameters if isinstance(parameters, dict) else {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": name, **described, "parameters": schema}}


def objects(values: Any) -> list[dict[str, Any]]:
    """The objects in a list, whatever else a provider put there or in its place."""
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def pieces(text: str, size: int = 80) -> list[str]:
    """A text as it comes in a stream."""
    return [text[at : at + size] for at in range(0, len(text), size)]
