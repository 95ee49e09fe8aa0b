"""The forms into which agents put the results of tools, and how what was said is taken out of them again.

For models that are functions: they were written for results as tools say them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import dump, load

Message = Mapping[str, Any]
_OUTPUT: Final = re.compile(r"(?s)\A(?:[A-Z][\w ]*: [^\n]*\n)+Output:\n?(.*)\Z")
"""Codex: how long it took, then what was said."""
_CONTEXT: Final = re.compile(r"(?s)\A<untrusted_context>\n(.*)\n</untrusted_context>\Z")
"""Gemini CLI."""
_REPR: Final = re.compile(r"TextContent\(.*?\btext=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
"""LlamaIndex: the MCP SDK's object as Python prints it."""
_ALONE: Final = ("output", "result", "return_value", "error")
"""Gemini's clients: what was said, as the one member of an object."""
_CALLING: Final = "Calling tools:\n"
_SEEN: Final = "Observation:\n"
"""smolagents: tool calls and their results as words."""


def unwrapped(text: str) -> str:
    """What stands inside of one of the known forms; the text itself, where it has none of them."""
    for unwrap in (_of_mark, _of_json, _of_repr):
        if (said := unwrap(text)) is not None:
            return said
    return text


def _of_mark(text: str) -> str | None:
    found = _OUTPUT.match(text) or _CONTEXT.match(text)
    return unwrapped(found[1]) if found is not None else None


def _of_json(text: str) -> str | None:
    """An MCP result, its content alone, or an object around one text."""
    if not text.startswith(("{", "[")):
        return None
    try:
        value = load(text.encode())
    except BadBody:
        return None
    if isinstance(value, dict) and len(value) == 1 and isinstance(said := value.get(next(iter(value))), str):
        return said if next(iter(value)) in _ALONE else None
    blocks = value.get("content") if isinstance(value, dict) else value
    if not isinstance(blocks, list) or not blocks:
        return None
    texts = [
        block["text"]
        for block in blocks
        if isinstance(block, dict) and "text" in block and block.get("type", "text") == "text"
    ]
    return "\n".join(map(str, texts)) if len(texts) == len(blocks) else None


def _of_repr(text: str) -> str | None:
    texts = [str(ast.literal_eval(found)) for found in _REPR.findall(text)]
    return "\n".join(texts) or None


def with_tool_calls(messages: Sequence[Message]) -> Iterator[Message]:
    """The conversation with tool calls and results that were told in words as what they were."""
    ids: list[str] = []
    for message in messages:
        content = message.get("content")
        text = content if isinstance(content, str) else ""
        if message.get("role") == "assistant" and _CALLING in text:
            words, _, told = text.partition(_CALLING)
            made = [_call(each) for each in ast.literal_eval(told)]
            ids = [call["id"] for call in made]
            yield {**message, "content": words.strip() or None, "tool_calls": made}
        elif message.get("role") == "user" and text.startswith(_SEEN) and ids:
            # one text for all calls of a turn: which said what cannot be told, so each is given all of it
            yield from ({"role": "tool", "tool_call_id": id, "content": text.removeprefix(_SEEN)} for id in ids)
        else:
            yield message


def _call(told: Mapping[str, Any]) -> dict[str, Any]:
    function = told["function"]
    arguments = function["arguments"]
    raw = arguments if isinstance(arguments, str) else dump(arguments).decode()
    return {"id": told["id"], "type": "function", "function": {"name": function["name"], "arguments": raw}}
