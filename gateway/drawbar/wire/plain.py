"""The commonest messages of the `chat` dialect, read as they stand: no normal form is made of what needs none."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import orjson

from drawbar.wire.tolerant import DEEPEST

_ROLES: Final = {"user": "user", "system": "system", "developer": "system"}
_MODEL: Final = frozenset({"role", "content", "tool_calls", "refusal", "annotations", "audio", "function_call"})
_SAID: Final = ("refusal", "annotations", "audio", "function_call")
"""Fields of a model's message that say nothing where they are empty."""
_CALL: Final = frozenset({"id", "type", "function", "index"})
_FUNCTION: Final = frozenset({"name", "arguments"})
_any = msgspec.json.Decoder(msgspec.Raw)


def plain(body: bytes, *, objects: bool) -> dict[str, Any] | None:
    """A message with nothing in it but a text, a tool's result or calls of functions, as chat completions have it.

    None: it is not so plain; its normal form tells what it says. `objects`: a call's arguments as an object, not as
    their JSON text.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(value) is not dict:
        return None
    role, content = value.get("role"), value.get("content")
    if role == "assistant":
        return _reply(value, content, objects)
    if type(content) is not str or not content:
        return None
    if role == "tool":
        id = value.get("tool_call_id")
        whole = len(value) == 3 and type(id) is str and bool(id)
        return {"role": "tool", "tool_call_id": id, "content": content} if whole else None
    known = _ROLES.get(role) if type(role) is str else None
    return {"role": known, "content": content} if known is not None and len(value) == 2 else None


def _reply(value: dict[str, Any], content: Any, objects: bool) -> dict[str, Any] | None:
    if content is not None and type(content) is not str:
        return None
    given = value.get("tool_calls")
    if len(value) > 1 + ("content" in value) + ("tool_calls" in value) and _says_more(value):
        return None
    if not given:
        return {"role": "assistant", "content": content or ""}
    if type(given) is not list:
        return None
    calls = []
    for call in given:
        found = _call(call, objects)
        if found is None:
            return None
        calls.append(found)
    return {"role": "assistant", "content": content or None, "tool_calls": calls}


def _says_more(value: dict[str, Any]) -> bool:
    return not _MODEL.issuperset(value) or any(value.get(name) for name in _SAID)


def _call(call: Any, objects: bool) -> dict[str, Any] | None:
    try:
        id, function = call["id"], call["function"]
        name, arguments = function["name"], function["arguments"]
    except (KeyError, TypeError):
        return None
    if len(function) != 2 or (len(call) > 2 and not _CALL.issuperset(call)):
        return None
    if type(id) is not str or type(name) is not str or type(arguments) is not str or not _is_short(arguments):
        return None
    try:
        if objects:
            arguments = orjson.loads(arguments)
        else:
            _any.decode(arguments)
    except (orjson.JSONDecodeError, msgspec.DecodeError):
        return None
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _is_short(arguments: str) -> bool:
    """Whether the text begins as a JSON object, and is not too deep for one."""
    if arguments[:1] != "{" or ("\\" in arguments and "\\u" in arguments):  # escapes may hold halves of characters
        return False
    return len(arguments) <= 2 * DEEPEST or arguments.count("{") + arguments.count("[") <= DEEPEST
