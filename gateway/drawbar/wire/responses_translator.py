"""Between the `responses` dialect and chat: requests read, replies written whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from orjson import Fragment

from drawbar.wire.chat_writer import chat_messages, function, objects
from drawbar.wire.dialect import BadBody
from drawbar.wire.fields import fields, items, patched
from drawbar.wire.message import Message, Reasoning, Text, ToolUse
from drawbar.wire.responses import ResponsesDialect
from drawbar.wire.responses_events import events
from drawbar.wire.responses_message import tool_name
from drawbar.wire.responses_settings import settings
from drawbar.wire.tolerant import dump, load, load_object
from drawbar.wire.translator import Chat, Said

_DIALECT: Final = ResponsesDialect()
_LOST: Final = ("prompt", "context_management", "background")
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FREE_TEXT: Final = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""What stands for a tool that takes a text of its own grammar."""


class ResponsesTranslator:
    """OpenAI Responses and chat."""

    def chat(self, body: bytes) -> Chat:
        request = _DIALECT.split(body)
        if request.previous is not None:
            raise BadBody(f"nothing is known here of {request.previous!r}, which it goes on from")
        lost: dict[str, None] = {}
        names: dict[str, dict[str, Any]] = {}
        tools = list(_tools(load(request.tools or b"[]"), names, lost))
        messages = chat_messages([_DIALECT.normal(raw) for raw in request.messages], lost)
        messages = [_with_free_texts(message, names) for message in messages]
        envelope = load_object(request.envelope, "the request")
        lost |= {f"`{name}`": None for name in _LOST if envelope.get(name)}
        wanted = settings({name: value for name, value in envelope.items() if name not in _LOST})
        return Chat(messages, tools, names, tuple(lost), wanted.fields, tuple(wanted.unsaid))

    def recalled(self, body: bytes, conversation: Sequence[bytes]) -> bytes:
        before = [item for raw in conversation for item in (items(raw, "input") if raw.startswith(b"[") else [raw])]
        given = bytes(fields(body).get("input", b"[]"))
        now = items(given, "input") if given.startswith(b"[") else [b'{"role":"user","content":' + given + b"}"]
        whole = [Fragment(raw) for raw in (*before, *now)]
        return patched(body, {"previous_response_id": None, "conversation": None, "input": whole})

    def answer(self, said: Said, asked: Chat) -> dict[str, Any]:
        cut = _INCOMPLETE.get(said.finish or "")
        return {
            "id": f"resp_{said.id}",
            "object": "response",
            "created_at": said.created,
            "status": "incomplete" if cut else "completed",
            "error": None,
            "incomplete_details": {"reason": cut} if cut else None,
            "instructions": None,
            "metadata": {},
            "model": said.model,
            "output": _output(said.normal(), said.id, asked.names),
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": _usage(said),
        }

    def events(self, answer: Mapping[str, Any], body: bytes) -> list[bytes]:
        return events(answer)

    def count(self, tokens: int) -> bytes:
        return dump({"object": "response.input_tokens", "input_tokens": tokens})


def _usage(said: Said) -> dict[str, Any] | None:
    prompt, completion = said.prompt_tokens, said.completion_tokens
    if prompt is None or completion is None:
        return None
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": said.counts.cached_tokens or 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": said.counts.reasoning_tokens or 0},
        "total_tokens": prompt + completion,
    }


def _tools(tools: Any, names: dict[str, dict[str, Any]], lost: dict[str, None]) -> Iterator[dict[str, Any]]:
    for tool in objects(tools):
        kind = tool.get("type")
        if kind == "namespace":
            inside = [{**it, "namespace": tool.get("name")} for it in objects(tool.get("tools"))]
            yield from _tools(inside, names, lost)
        elif kind in ("function", "custom"):
            name = tool_name(tool)
            names[name] = {key: tool[key] for key in ("name", "namespace") if tool.get(key)} | {"kind": kind}
            yield _free(name, tool) if kind == "custom" else _function(name, tool)
        else:
            lost[f"a tool of type {kind}"] = None


def _function(name: str, tool: Mapping[str, Any]) -> dict[str, Any]:
    found = function(name, tool.get("description"), tool.get("parameters"))
    if tool.get("strict") is True:
        found["function"]["strict"] = True
    return found


def _free(name: str, tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool that takes a text; of the grammar that the text must follow, chat can only tell."""
    described, format = tool.get("description") or "", tool.get("format")
    if isinstance(format, dict) and format.get("definition"):
        described += f"\n\nThe input follows this {format.get('syntax') or ''} grammar:\n{format['definition']}"
    return function(name, described, _FREE_TEXT)


def _with_free_texts(message: dict[str, Any], names: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Earlier calls of tools that take a text, as calls of what stands for them."""
    calls = [_wrapped(call, names) for call in message.get("tool_calls", ())]
    return {**message, "tool_calls": calls} if calls else message


def _wrapped(call: dict[str, Any], names: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    said = call["function"]
    if names.get(said["name"], {}).get("kind") != "custom":
        return call
    return {**call, "function": {**said, "arguments": dump({"input": said["arguments"]}).decode("utf-8", "replace")}}


def _output(message: Message, id: str, names: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    spoken = (it for it in message.blocks if isinstance(it, Text | Reasoning))
    for kind, group in groupby(spoken, type):
        words = "".join(it.text for it in group)
        if words:
            found.append(item(kind, words, id, len(found)))
    found += [_call(use, f"{id}_{at}", names.get(use.name, {})) for at, use in enumerate(message.tool_uses)]
    return found


def item(kind: type[Text | Reasoning], words: str, id: str, at: int) -> dict[str, Any]:
    """The item that holds words or reasoning, at this place of a reply with this id."""
    id = f"{id}_{at}" if at > 1 else id
    if kind is Reasoning:
        return {"id": f"rs_{id}", "type": "reasoning", "summary": [{"type": "summary_text", "text": words}]}
    text = {"type": "output_text", "text": words, "annotations": [], "logprobs": []}
    return {"id": f"msg_{id}", "type": "message", "role": "assistant", "status": "completed", "content": [text]}


def _call(use: ToolUse, id: str, known: Mapping[str, Any]) -> dict[str, Any]:
    named = {"call_id": use.id, "name": known.get("name", use.name)}
    if known.get("namespace"):
        named["namespace"] = known["namespace"]
    if known.get("kind") == "custom":
        said = (use.arguments or {}).get("input", use.raw)
        return {"id": f"ctc_{id}", "type": "custom_tool_call", "status": "completed", **named, "input": said}
    return {"id": f"fc_{id}", "type": "function_call", "status": "completed", **named, "arguments": use.raw or "{}"}
