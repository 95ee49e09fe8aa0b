"""Between the `messages` dialect and chat: requests read, replies written whole or as the events of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from orjson import Fragment

from drawbar.wire.chat_writer import chat_messages, function, objects, pieces
from drawbar.wire.fields import fields, items, patched
from drawbar.wire.message import Block, Reasoning, Text, ToolUse
from drawbar.wire.messages import MessagesDialect
from drawbar.wire.tolerant import dump, load, load_object
from drawbar.wire.translator import Chat, Said

_DIALECT: Final = MessagesDialect()
_LOST: Final = ("context_management", "mcp_servers", "container", "thread")
"""Fields with which the provider does something that chat has no word for."""


class MessagesTranslator:
    """Anthropic messages and chat."""

    def chat(self, body: bytes) -> Chat:
        request = _DIALECT.split(body)
        lost: dict[str, None] = {}
        messages = chat_messages([_DIALECT.normal(raw) for raw in request.messages], lost)
        tools = [tool for tool in (_tool(it, lost) for it in objects(load(request.tools or b"[]"))) if tool is not None]
        envelope = load_object(request.envelope, "the request")
        lost |= {f"`{name}`": None for name in _LOST if envelope.get(name)}
        return Chat(messages, tools, lost=tuple(lost))

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
            "content": [block for it in message.blocks if (block := _block(it)) is not None],
            "stop_reason": "tool_use" if message.tool_uses else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": said.prompt_tokens, "output_tokens": said.completion_tokens},
        }

    def events(self, answer: Mapping[str, Any], body: bytes) -> list[bytes]:
        usage = answer.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        opened = {**answer, "content": [], "stop_reason": None, "stop_sequence": None}
        opened["usage"] = {**usage, "output_tokens": 0}
        end = {"stop_reason": answer.get("stop_reason"), "stop_sequence": answer.get("stop_sequence")}
        events: list[dict[str, Any]] = [{"type": "message_start", "message": opened}]
        for index, block in enumerate(objects(answer.get("content"))):
            events += ({"index": index, **event} for event in _block_events(block))
        events += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
        return [dump(event) for event in events]

    def count(self, tokens: int) -> bytes:
        return dump({"input_tokens": tokens})


def _tool(tool: dict[str, Any], lost: dict[str, None]) -> dict[str, Any] | None:
    if tool.get("type", "custom") not in ("custom", None):
        lost[f"a tool of type {tool['type']}"] = None
        return None
    return function(str(tool.get("name") or ""), tool.get("description"), tool.get("input_schema"))


def _block(block: Block) -> dict[str, Any] | None:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    if isinstance(block, Reasoning):
        return {"type": "thinking", "thinking": block.text, "signature": block.signature or ""}
    if isinstance(block, ToolUse):
        arguments = {"arguments": block.raw} if block.arguments is None else block.arguments
        return {"type": "tool_use", "id": block.id, "name": block.name, "input": arguments}
    return None


def _block_events(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
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
