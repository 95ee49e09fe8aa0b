"""Contents of the `gemini` dialect: what identifies one, and its normal form.

A message is one entry of `contents`, or the system instruction under its own name: `{"systemInstruction": {...}}`.

Clients say the same in different bytes: names in camelCase or snake_case, base64 in one of two alphabets, a list of
parts or a single part, a stream's texts in one part or in many. Thoughts and signatures stand outside the key: some
clients (gemini-cli) leave them out. Ids of function calls stand inside: a client that drops them (AI-SDK's Google
provider) says something else, and the edge to its request is not exact.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from drawbar.wire.gemini_names import camel, get
from drawbar.wire.message import Block, Media, Message, Other, Reasoning, Role, Text, ToolResult, ToolUse
from drawbar.wire.tolerant import an_object, dump, load_message

_ROLES: Final[dict[str, Role]] = {"system": "system", "model": "assistant"}
_SAME_ROLE: Final = {"": "user", "function": "user", "tool": "user", "assistant": "model"}
_THOUGHTS: Final = frozenset({"thought", "thoughtSignature"})
_CALLS: Final = frozenset({"functionCall", "functionResponse"})
"""What no part of a result holds: nothing is looked for in it there, however deep it goes."""
_STANDARD: Final = str.maketrans("-_", "+/", "= \r\n")


def opened(message: bytes, *, mend: bool = False) -> tuple[str, dict[str, Any]]:
    """A message's role (`system`, `user`, `model` or a foreign one) and its content; with `mend`, its texts whole.
    Raises `BadBody`."""
    value = an_object(load_message(message, mend=mend), "a message")
    system = value.get("systemInstruction")
    if system is not None:
        return "system", system if isinstance(system, dict) else {"parts": system}
    role = value.get("role")
    role = role.lower() if isinstance(role, str) else ""
    return _SAME_ROLE.get(role, role), value


def parts(content: dict[str, Any]) -> list[dict[str, Any]]:
    """A content's parts, their names in camelCase. A single part may stand there without a list."""
    found = content.get("parts")
    return [_part(part) for part in (found if isinstance(found, list) else [found]) if part is not None]


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"text": part}
    return {camel(key): value for key, value in part.items()} if isinstance(part, dict) else {"value": part}


def canonical(message: bytes) -> bytes:
    """The bytes that identify a message. Raises `BadBody`.

    Thoughts are left out first; then texts of a model's reply that stand side by side are one, for a client may keep
    them as its stream cut them; then white space at their edges goes. A user's texts stay as many as they are.
    """
    role, content = opened(message)
    said: list[Any] = []
    for part in parts(content):
        item = _said(part)
        if role == "model" and isinstance(item, str) and said and isinstance(said[-1], str):
            said[-1] += item
        elif item is not None:
            said.append(item)
    stripped = (item.strip() if isinstance(item, str) else item for item in said)
    found: dict[str, Any] = {"role": role, "parts": [item for item in stripped if item != ""]}
    if role == "user":
        found |= {camel(key): value for key, value in content.items() if key not in ("role", "parts")}
    return dump(_full(found), sort=True)


def _said(part: dict[str, Any]) -> str | dict[str, Any] | None:
    """What identifies a part; None when nothing does."""
    said = {key: _data(key, value) for key, value in part.items() if key not in _THOUGHTS}
    if part.get("thought") is True and not said.keys() - {"text"}:
        return None
    said = _full(said)
    if said.keys() == {"text"} and isinstance(said["text"], str):
        return said["text"]
    return said or None


def _data(key: str, value: Any) -> Any:
    """The object that a part holds, its own names in camelCase; those that tools chose stay."""
    if not isinstance(value, dict):
        return value
    found = _full({camel(name): inner for name, inner in value.items()})
    if key == "inlineData" and isinstance(found.get("data"), str):
        found["data"] = _base64(found["data"])
    if key == "functionResponse" and "parts" in found:
        found["parts"] = [{k: v if k in _CALLS else _data(k, v) for k, v in part.items()} for part in parts(found)]
    return found


def _full(value: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item is not None and item not in ("", [], {})}


def _base64(data: str) -> str:
    """In the standard alphabet without padding: the Python SDK sends the other one, whatever it got."""
    return data.translate(_STANDARD)


def normal(message: bytes) -> Message:
    """A message in normal form. Raises `BadBody`.

    A call without an id is given one of its tool's name and its number among this message's calls of that tool
    (`search#0`), and so is a result: parallel calls find their results by order. Such ids come again in later turns.
    """
    role, content = opened(message, mend=True)
    seen: Counter[tuple[str, str]] = Counter()
    blocks = [block for part in parts(content) for block in _blocks(part, seen)]
    results = any(isinstance(block, ToolResult) for block in blocks)
    if role == "user" and results and all(isinstance(block, ToolResult | Media) for block in blocks):
        return Message("tool", tuple(blocks))
    return Message(_ROLES.get(role, "user"), tuple(blocks))


def _blocks(part: dict[str, Any], seen: Counter[tuple[str, str]]) -> list[Block]:
    """A part's blocks: what it holds, and before it the signature of the thought that led there."""
    text, thought = part.get("text"), part.get("thought") is True
    signature = part.get("thoughtSignature")
    signature = signature if isinstance(signature, str) and signature else None
    if thought and isinstance(text, str):
        return [Reasoning(text, signature)]
    found: list[Block] = [] if signature is None else [Reasoning("", signature)]
    rest = {key: value for key, value in part.items() if key not in _THOUGHTS}
    if isinstance(text, str):
        found += [Text(text)] if text else []
        del rest["text"]
    for key, read in (("functionCall", _call), ("functionResponse", _result)):
        if isinstance(rest.get(key), dict):
            found += read(rest.pop(key), seen)
    for key in ("inlineData", "fileData"):
        if isinstance(rest.get(key), dict):
            found.append(_media(key, rest.pop(key)))
    return [*found, Other(rest)] if (rest := _full(rest)) else found


def _call(call: dict[str, Any], seen: Counter[tuple[str, str]]) -> list[Block]:
    args = call.get("args")
    arguments = {} if args is None else args
    return [
        ToolUse(
            id=_id(call, "call", seen),
            name=str(call.get("name") or ""),
            arguments=arguments if isinstance(arguments, dict) else None,
            raw=dump(arguments).decode("utf-8", "replace"),
        )
    ]


def _result(result: dict[str, Any], seen: Counter[tuple[str, str]]) -> list[Block]:
    text, is_error = _shown(result.get("response"))
    shown = ToolResult(_id(result, "result", seen), text, is_error)
    return [shown, *(found for part in parts(result) if (found := _attached(part)) is not None)]


def _attached(part: dict[str, Any]) -> Block | None:
    """A file beside a result's words."""
    for key in ("inlineData", "fileData"):
        if isinstance(part.get(key), dict):
            return _media(key, part[key])
    return Other(part) if part else None


def _id(value: dict[str, Any], kind: str, seen: Counter[tuple[str, str]]) -> str:
    name = str(value.get("name") or "")
    number = seen[kind, name]
    seen[kind, name] += 1
    return str(value.get("id") or f"{name}#{number}")


def _shown(response: Any) -> tuple[str, bool]:
    """A result's words, and whether they tell an error.

    The API reads the keys `output` and `error`; the SDKs wrap a tool's value as `result`. MCP's `isError` may stand
    beside them.
    """
    if not isinstance(response, dict):
        return ("" if response is None else _words(response)), False
    values = _full(response)
    failed = "error" in values or values.get("isError") is True
    for key in ("output", "result", "error"):
        if values.keys() == {key}:
            return _words(values[key]), failed
    return _words(response) if response else "", failed


def _words(value: Any) -> str:
    return value if isinstance(value, str) else dump(value).decode("utf-8", "replace")


def _media(key: str, value: dict[str, Any]) -> Media:
    if key == "fileData":
        return Media(key, str(get(value, "fileUri") or ""))
    mime = str(get(value, "mimeType") or "application/octet-stream")
    return Media(key, f"data:{mime};base64,{str(value.get('data') or '').translate(str.maketrans('-_', '+/'))}")
