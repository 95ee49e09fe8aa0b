"""Between the `responses` dialect and chat: requests read, replies written whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from orjson import Fragment

from drawbar.wire.chat_writer import chat_messages, function, objects
from drawbar.wire.dialect import BadBody
from drawbar.wire.fields import fields, items, patched
from drawbar.wire.message import Message, ToolUse
from drawbar.wire.responses import ResponsesDialect
from drawbar.wire.responses_events import events
from drawbar.wire.responses_message import tool_name
from drawbar.wire.tolerant import dump, load, load_object
from drawbar.wire.translator import Chat, Said

_DIALECT: Final = ResponsesDialect()
_LOST: Final = ("prompt", "context_management", "background")
_FREE_TEXT: Final = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""What stands for a tool that takes a text of its own grammar."""


class ResponsesTranslator:
    """OpenAI Responses and chat."""

    def chat(self, body: bytes) -> Chat:
        request = _DIALECT.split(body)
        if request.previous is not None:
            raise BadBody(f"nothing is known here of {request.previous!r}, which it goes on from")
        lost: dict[str, None] = {}
        messages = chat_messages([_DIALECT.normal(raw) for raw in request.messages], lost)
        names: dict[str, dict[str, Any]] = {}
        tools = list(_tools(load(request.tools or b"[]"), names, lost))
        envelope = load_object(request.envelope, "the request")
        lost |= {f"`{name}`": None for name in _LOST if envelope.get(name)}
        return Chat(messages, tools, names, tuple(lost))

    def recalled(self, body: bytes, conversation: Sequence[bytes]) -> bytes:
        before = [item for raw in conversation for item in (items(raw, "input") if raw.startswith(b"[") else [raw])]
        given = bytes(fields(body).get("input", b"[]"))
        now = items(given, "input") if given.startswith(b"[") else [b'{"role":"user","content":' + given + b"}"]
        whole = [Fragment(raw) for raw in (*before, *now)]
        return patched(body, {"previous_response_id": None, "conversation": None, "input": whole})

    def answer(self, said: Said, asked: Chat) -> dict[str, Any]:
        prompt, completion = said.prompt_tokens, said.completion_tokens
        return {
            "id": f"resp_{said.id}",
            "object": "response",
            "created_at": said.created,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": said.model,
            "output": _output(said.normal(), said.id, asked.names),
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": prompt,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": completion,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": prompt + completion,
            },
        }

    def events(self, answer: Mapping[str, Any], body: bytes) -> list[bytes]:
        return events(answer)

    def count(self, tokens: int) -> bytes:
        return dump({"object": "response.input_tokens", "input_tokens": tokens})


def _tools(tools: Any, names: dict[str, dict[str, Any]], lost: dict[str, None]) -> Iterator[dict[str, Any]]:
    for tool in objects(tools):
        kind = tool.get("type")
        if kind == "namespace":
            inside = [{**it, "namespace": tool.get("name")} for it in objects(tool.get("tools"))]
            yield from _tools(inside, names, lost)
        elif kind in ("function", "custom"):
            name = tool_name(tool)
            names[name] = {key: tool[key] for key in ("name", "namespace") if tool.get(key)} | {"kind": kind}
            yield function(name, tool.get("description"), _FREE_TEXT if kind == "custom" else tool.get("parameters"))
        else:
            lost[f"a tool of type {kind}"] = None


def _output(message: Message, id: str, names: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if message.reasoning:
        summary = [{"type": "summary_text", "text": message.reasoning}]
        found.append({"id": f"rs_{id}", "type": "reasoning", "summary": summary})
    if message.text:
        text = {"type": "output_text", "text": message.text, "annotations": [], "logprobs": []}
        said = {"id": f"msg_{id}", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
        found.append(said)
    found += [_call(use, f"{id}_{at}", names.get(use.name, {})) for at, use in enumerate(message.tool_uses)]
    return found


def _call(use: ToolUse, id: str, known: Mapping[str, Any]) -> dict[str, Any]:
    named = {"call_id": use.id, "name": known.get("name", use.name)}
    if known.get("namespace"):
        named["namespace"] = known["namespace"]
    if known.get("kind") == "custom":
        said = (use.arguments or {}).get("input", use.raw)
        return {"id": f"ctc_{id}", "type": "custom_tool_call", "status": "completed", **named, "input": said}
    return {"id": f"fc_{id}", "type": "function_call", "status": "completed", **named, "arguments": use.raw or "{}"}
