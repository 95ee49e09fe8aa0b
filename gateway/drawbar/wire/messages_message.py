"""Messages of the `messages` dialect: what identifies one, and its normal form.

Clients say the same thing in different bytes: a cache mark moves to the newest block with every call, and a content
that is a text becomes a list of one text while it carries the mark; nulls come and go; a tool's input is written anew;
thinking is left out. The rules come from recordings of real agents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from drawbar.wire.arguments import parsed
from drawbar.wire.dialect import BadBody
from drawbar.wire.message import Block, Media, Message, Other, Reasoning, Role, Text, ToolResult, ToolUse
from drawbar.wire.tolerant import an_object, dump, load_message

# Not sets: a careless body's `type` may be anything, and not all of it can be looked up in one.
_REASONING: Final = ("thinking", "redacted_thinking")
_USES: Final = ("tool_use", "server_tool_use", "mcp_tool_use")
_RESULTS: Final = ("tool_result", "mcp_tool_result")
_CALL: Final = ("type", "id", "name", "server_name")
"""What identifies a call, beside its input: some clients lose all else."""
_NOT_IDENTITY: Final = frozenset({"cache_control", "caller"})
_ROLES: Final[dict[str, Role]] = {"system": "system", "user": "user", "assistant": "assistant"}


def canonical(message: bytes) -> bytes:
    """The bytes that identify a message. Raises `BadBody`.

    Of a text only the words count, not the citations that a client may leave out.
    """
    value = an_object(load_message(message), "a message")
    said: dict[str, Any] = {"role": value.get("role")}
    if said["role"] != "assistant":
        said = dict(value)
    try:
        said["content"] = _content(value.get("content"))
    except RecursionError as error:
        raise BadBody("a message's content is nested too deeply") from error
    return dump(_said(said), sort=True)


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what says nothing: null, missing and empty are one."""
    return {
        key: value
        for key, value in fields.items()
        if key not in _NOT_IDENTITY and value is not None and value != "" and value != [] and value != {}
    }


def _content(content: Any) -> list[Any]:
    keys = [_key(block) for block in _list(content)]
    return [key for key in keys if key is not None and key != ""]


def _list(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _key(block: Any) -> Any:
    """What identifies a block; nothing where it is no part of what was said."""
    if isinstance(block, str):
        return block.strip()
    if not isinstance(block, dict):
        return block
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return block["text"].strip()
    if kind in _REASONING:
        return None
    if kind in _USES:
        return _said({key: block.get(key) for key in _CALL}) | {"input": parsed(block.get("input"))}
    if kind in _RESULTS:
        error = True if block.get("is_error") else None
        return _said({**block, "content": _content(block.get("content")), "is_error": error})
    source = block.get("source")
    if kind == "document" and isinstance(source, dict) and "content" in source:
        return _said({**block, "source": {**source, "content": _content(source["content"])}})
    if kind == "search_result":
        return _said({**block, "content": _content(block.get("content"))})
    return _said(block)


def normal(message: bytes) -> Message:
    """A message in normal form; one that carries results of tools and nothing else is the tool's. Raises `BadBody`."""
    value = an_object(load_message(message, mend=True), "a message")
    role = _ROLES.get(str(value.get("role")), "user")
    parts = _list(value.get("content"))
    if role == "user" and all(isinstance(part, dict) and part.get("type") == "tool_result" for part in parts) and parts:
        role = "tool"
    return Message(role, tuple(block for part in parts for block in _blocks(part)))


def _blocks(part: Any) -> Iterable[Block]:
    if part is None or part == "":
        return []
    if isinstance(part, str):
        return [Text(part)]
    if not isinstance(part, dict):
        return [Other({"value": part})]
    read = _READERS.get(str(part.get("type")))
    return [Other(part)] if read is None else read(part)


def _text(part: dict[str, Any]) -> list[Block]:
    said = part.get("text")
    if not isinstance(said, str):
        return [Other(part)]
    return [Text(said)] if said else []


def _thinking(part: dict[str, Any]) -> list[Block]:
    signature = part.get("signature")
    return [Reasoning(_word(part.get("thinking")), signature if isinstance(signature, str) and signature else None)]


def _redacted(part: dict[str, Any]) -> list[Block]:
    """Thinking that only the provider can read: what it gives in place of the words is what it knows it by."""
    return [Reasoning("", _word(part.get("data")) or None)]


def _tool_use(part: dict[str, Any]) -> list[Block]:
    said = part.get("input")
    arguments = parsed(said)
    return [
        ToolUse(
            id=_word(part.get("id")),
            name=_word(part.get("name")),
            arguments=arguments if isinstance(arguments, dict) else None,
            raw=said if isinstance(said, str) else dump(arguments).decode(),
        )
    ]


def _tool_result(part: dict[str, Any]) -> list[Block]:
    """The result's words in one block; pictures and whatever else came with them follow it."""
    inside = [_inner(block) for block in _list(part.get("content"))]
    words = "".join(block.text for block in inside if isinstance(block, Text))
    result = ToolResult(_word(part.get("tool_use_id")), words, is_error=part.get("is_error") is True)
    return [result, *(block for block in inside if block is not None and not isinstance(block, Text))]


def _inner(part: Any) -> Block | None:
    """A block inside a tool's result, which holds no further results."""
    if isinstance(part, dict) and part.get("type") == "tool_result":
        return Other(part)
    return next(iter(_blocks(part)), None)


def _media(part: dict[str, Any]) -> list[Block]:
    source = part.get("source")
    url = _url(source) if isinstance(source, dict) else ""
    return [Media(str(part["type"]), url)] if url else [Other(part)]


def _url(source: dict[str, Any]) -> str:
    """Where a picture or document is, or itself as a data URL; empty for a kind of source that has neither."""
    kind, data = source.get("type"), source.get("data")
    if kind == "base64" and isinstance(data, str):
        return f"data:{_word(source.get('media_type'))};base64,{data}"
    if kind == "text" and isinstance(data, str):
        return f"data:{_word(source.get('media_type')) or 'text/plain'},{quote(data, errors='replace')}"
    return _word(source.get("url")) or _word(source.get("file_id"))


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


_READERS: Final[dict[str, Callable[[dict[str, Any]], list[Block]]]] = {
    "text": _text,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "image": _media,
    "document": _media,
}
