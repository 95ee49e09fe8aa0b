"""Conversations as chat messages: `role`, `content`, `tool_calls`, as OpenAI made them and most trainers read them.

Each of the session's messages becomes some of these (a turn with three tool results becomes three), so that whoever
needs to can tell which of them are one message. What cannot be said is noted; what is told otherwise as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from drawbar.export.losses import Losses
from drawbar.export.sample import Said, Sample
from drawbar.wire.message import Media, Message, Other, Reasoning, Text, ToolResult, ToolUse
from drawbar.wire.tolerant import dump

ChatMessage: TypeAlias = dict[str, Any]
Picture: TypeAlias = Callable[[Media], dict[str, Any] | None]
"""A picture as a part of a message; None: it cannot be told."""

PICTURES = ("image", "image_url", "input_image", "inlineData", "fileData")
"""What the dialects call a block that may be a picture."""


@dataclass(frozen=True, slots=True)
class ChatForm:
    """How a trainer wants chat messages."""

    picture: Picture
    reasoning: str | None = None
    """The field of a model's message that holds its reasoning; None: there is none."""
    objects: bool = False
    """Whether a call's arguments are an object, not its JSON text."""

    def messages(self, sample: Sample, losses: Losses) -> list[list[ChatMessage]]:
        """For each message of the sample what it becomes."""
        texts = sample.offered.texts
        found = self._plain(sample.said) if not texts else []
        late: list[dict[str, Any]] = []
        for each in sample.said[len(found) :]:
            plain = None if texts else each.plain(objects=self.objects)
            said = self._said(each.message, texts, late, losses) if plain is None else [plain]
            if late and said and said[0]["role"] != "tool":
                said = [{"role": "user", "content": late}, *said]
                late = []
            found.append(said)
        for what in sample.offered.lost:
            losses.note(what)
        return found

    def _plain(self, said: Sequence[Said]) -> list[list[ChatMessage]]:
        """What the first messages become, as far as they are plain: mostly all of them."""
        found: list[list[ChatMessage]] = []
        objects = self.objects
        for each in said:
            message = each.plain(objects=objects)
            if message is None:
                break
            found.append([message])
        return found

    def _said(
        self, message: Message, texts: frozenset[str], late: list[dict[str, Any]], losses: Losses
    ) -> list[ChatMessage]:
        if message.role == "assistant":
            return [self._assistant(message, texts, losses)]
        return self._others(message, late, losses)

    def _assistant(self, message: Message, texts: frozenset[str], losses: Losses) -> ChatMessage:
        words: list[str] = []
        thoughts: list[str] = []
        calls: list[dict[str, Any]] = []
        for block in message.blocks:
            if isinstance(block, Text):
                words.append(block.text)
                if calls:
                    losses.note("the place of words after a tool call: they are told before it")
            elif isinstance(block, ToolUse):
                calls.append(self._call(block, texts, losses))
            elif isinstance(block, Reasoning):
                thoughts.append(block.text)
                if block.signature:
                    losses.note("signatures of reasoning")
            else:
                losses.note(_what(block))
        said: ChatMessage = {"role": "assistant", "content": "".join(words) or None}
        if thought := "".join(thoughts):
            if self.reasoning is None:
                losses.note("reasoning")
            else:
                said[self.reasoning] = thought
        if calls:
            said["tool_calls"] = calls
        elif said["content"] is None:
            said["content"] = ""
        return said

    def _call(self, use: ToolUse, texts: frozenset[str], losses: Losses) -> dict[str, Any]:
        arguments: Any = use.arguments
        if arguments is None and use.name in texts:
            arguments = {"input": use.raw}
        elif arguments is None:
            losses.note("tool calls whose arguments are no JSON object: they are told as a text")
            arguments = {"arguments": use.raw} if self.objects else None
        if not self.objects:
            arguments = (use.raw or "{}") if use.arguments is not None or arguments is None else _json(arguments)
        return {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": arguments}}

    def _others(self, message: Message, late: list[dict[str, Any]], losses: Losses) -> list[ChatMessage]:
        """Results of tools stand in messages of their own, before whatever else came; their pictures after the last."""
        results: list[ChatMessage] = []
        parts: list[dict[str, Any]] = []
        for block in message.blocks:
            if isinstance(block, ToolResult):
                results.append({"role": "tool", "tool_call_id": block.tool_use_id, "content": block.text})
                if block.is_error:
                    losses.note("the mark of a tool's error")
            elif isinstance(block, Text):
                parts.append({"type": "text", "text": block.text})
            elif isinstance(block, Media) and (part := self.picture(block)) is not None:
                parts.append(part)
            else:
                losses.note(_what(block))
        if message.role == "tool":
            late += parts
            if parts:
                losses.note("the place of pictures in tool results: they are told in a message of the user's after it")
            return results
        if parts or not results:
            results.append({"role": "system" if message.role == "system" else "user", "content": _content(parts)})
        return results


def _content(parts: Sequence[dict[str, Any]]) -> Any:
    """One text where there are only texts: that is what most chat templates can tell."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return list(parts)


def _what(block: Any) -> str:
    """What is lost with a block, in words."""
    if isinstance(block, Other):
        return f"blocks of type {block.raw.get('type', 'unknown')}"
    return "pictures, sounds and files that the format has no place for" if isinstance(block, Media) else "other blocks"


def _json(value: Any) -> str:
    return dump(value).decode("utf-8", "replace")


def is_picture(media: Media) -> bool:
    """Whether it is one, as far as can be told: dialects have one kind of block for pictures and other files."""
    if media.url.startswith("data:"):
        return media.url.startswith("data:image/")
    return media.kind in PICTURES and bool(media.url)
