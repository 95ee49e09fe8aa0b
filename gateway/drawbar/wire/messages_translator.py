"""Between the `messages` dialect and chat: requests read, replies written whole or as the events of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from orjson import Fragment

from drawbar.wire.chat_writer import chat_messages, function, objects, pieces
from drawbar.wire.fields import fields, items, patched
from drawbar.wire.message import Block, Reasoning, Text, ToolUse
from drawbar.wire.messages import MessagesDialect
from drawbar.wire.messages_settings import settings
from drawbar.wire.tolerant import dump, load, load_object
from drawbar.wire.translator import Chat, Said

_DIALECT: Final = MessagesDialect()
_LOST: Final = ("context_management", "mcp_servers", "container", "thread")
"""Fields with which the provider does something that chat has no word for."""
_FINISHES: Final = {"length": "max_tokens", "content_filter": "refusal"}


class MessagesTranslator:
    """Anthropic messages and chat."""

    def chat(self, body: bytes) -> Chat:
        request = _DIALECT.split(body)
        lost: dict[str, None] = {}
        messages = chat_messages([_DIALECT.normal(raw) for raw in request.messages], lost)
        tools = [tool for tool in (_tool(it, lost) for it in objects(load(request.tools or b"[]"))) if tool is not None]
        envelope = load_object(request.envelope, "the request")
        lost |= {f"`{name}`": None for name in _LOST if envelope.get(name)}
        wanted = settings({name: value for name, value in envelope.items() if name not in _LOST})
        return Chat(messages, tools, lost=tuple(lost), settings=wanted.fields, unsaid=tuple(wanted.unsaid))

    def recalled(self, body: bytes, conversation: Sequence[bytes]) -> bytes:
        messages = items(fields(body)["messages"], "messages")
        return patched(body, {"thread": None, "messages": [Fragment(raw) for raw in (*conversation, *messages)]})

    def answer(self, said: Said, asked: Chat) -> dict[str, Any]:
        message = said.normal()
        return {
            "id": f"msg_{said.id}",
            "type": "message",
            "role": "assistant",
            "model": said.model,
            "content": [found for it in message.blocks if (found := block(it)) is not None],
            "stop_reason": _FINISHES.get(said.finish or "", "tool_use" if message.tool_uses else "end_turn"),
            "stop_sequence": None,
            "usage": _usage(said),
        }

    def events(self, answer: Mapping[str, Any], body: bytes) -> list[bytes]:
        usage = answer.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        opened = {**answer, "content": [], "stop_reason": None, "stop_sequence": None}
        opened["usage"] = {**usage, "output_tokens": 0}
        end = {"stop_reason": answer.get("stop_reason"), "stop_sequence": answer.get("stop_sequence")}
        events: list[dict[str, Any]] = [{"type": "message_start", "message": opened}]
        for index, it in enumerate(objects(answer.get("content"))):
            events += ({"index": index, **event} for event in block_events(it))
        events += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
        return [dump(event) for event in events]

    def count(self, tokens: int) -> bytes:
        return dump({"input_tokens": tokens})


def _usage(said: Said) -> dict[str, int]:
    """The API's clients need numbers: 0 where nobody counted. What the cache held is no part of `input_tokens`."""
    cached = said.counts.cached_tokens or 0
    counted = {"input_tokens": max(0, (said.prompt_tokens or 0) - cached), "output_tokens": said.completion_tokens or 0}
    return counted | ({"cache_read_input_tokens": cached} if cached else {})


def _tool(tool: dict[str, Any], lost: dict[str, None]) -> dict[str, Any] | None:
    if tool.get("type", "custom") not in ("custom", None):
        lost[f"a tool of type {tool['type']}"] = None
        return None
    return function(str(tool.get("name") or ""), tool.get("description"), tool.get("input_schema"))


def block(it: Block) -> dict[str, Any] | None:
    """A block of a reply as this dialect has it; None for one that it has not."""
    if isinstance(it, Text):
        return {"type": "text", "text": it.text}
    if isinstance(it, Reasoning):
        return {"type": "thinking", "thinking": it.text, "signature": it.signature or ""}
    if isinstance(it, ToolUse):
        arguments = {"arguments": it.raw} if it.arguments is None else it.arguments
        return {"type": "tool_use", "id": it.id, "name": it.name, "input": arguments}
    return None


def block_events(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A block's beginning with its texts empty, then their pieces; of a kind without texts, the whole at once."""
    kind = block.get("type")
    deltas: list[dict[str, Any]] = []
    begun = dict(block)
    if kind == "text":
        begun["text"] = ""
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces(str(block.get("text") or ""))]
    elif kind == "thinking":
        begun |= {"thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": it} for it in pieces(str(block.get("thinking") or ""))]
        deltas.append({"type": "signature_delta", "signature": block.get("signature") or ""})
    elif "input" in block:
        begun["input"] = {}
        written = dump(block["input"]).decode("utf-8", "replace")
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(written)]
    yield {"type": "content_block_start", "content_block": begun}
    for delta in deltas:
        yield {"type": "content_block_delta", "delta": delta}
    yield {"type": "content_block_stop"}
