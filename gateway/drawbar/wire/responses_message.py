"""Messages of the `responses` dialect: what identifies one, and its normal form.

A message is an item, or the list of items that one turn of the model is. Clients resend the model's items with or
without the ids and states that the provider gave them, as its own objects or as plain messages, with their reasoning or
without. A turn is what was said and called in it, in order, however it is divided into items.
"""

from __future__ import annotations

from typing import Any, Final

from drawbar.wire.arguments import parsed
from drawbar.wire.message import Block, Media, Message, Other, Reasoning, Role, Text, ToolResult, ToolUse
from drawbar.wire.responses_items import of_model
from drawbar.wire.tolerant import an_object, dump, load_message

_TEXTS: Final = frozenset({"input_text", "output_text", "text", "summary_text"})
_MEDIA: Final = ("image_url", "file_url", "file_data", "file_id")
"""Where the source of an image or a file stands."""
_OF_PROVIDER: Final = frozenset({"id", "status", "created_by"})
"""What a provider adds to an item, and clients resend or lose."""
_MARKS: Final = frozenset({"annotations", "logprobs", "cache_control", "prompt_cache_breakpoint", "phase"})
_KNOWN: Final = frozenset({
    "apply_patch_call", "apply_patch_call_output", "code_interpreter_call", "compaction", "computer_call",
    "computer_call_output", "file_search_call", "image_generation_call", "local_shell_call",
    "mcp_approval_response", "mcp_call", "mcp_list_tools", "program", "program_output", "shell_call",
    "shell_call_output", "tool_search_call", "tool_search_output", "web_search_call",
})  # fmt: skip
"""Types of which it is known that id and state add nothing; of any other, all that is said counts. Some are meant by
their id: references, requests for approval, results of a local shell."""
_OWN_CALLS: Final = {
    "apply_patch_call": "operation", "computer_call": "action", "local_shell_call": "action", "shell_call": "action",
    "tool_search_call": "arguments",
}  # fmt: skip
"""Calls of tools that clients run and every model knows, and where their arguments stand."""
_RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
_ROLES: Final[dict[str, Role]] = {"system": "system", "developer": "system", "assistant": "assistant"}


def canonical(message: bytes) -> bytes:
    """The bytes that identify a message. Raises `BadBody`."""
    value = load_message(message)
    items = _items(value)
    if items is None:
        return dump(_identity(an_object(value, "an item of `input`")), sort=True)
    said = [block for item in items for block in _said(item)]
    return dump({"role": "assistant", "content": said}, sort=True)


def normal(message: bytes) -> Message:
    """A message in normal form. Raises `BadBody`."""
    value = load_message(message, mend=True)
    items = _items(value)
    if items is not None:
        return Message("assistant", tuple(block for item in items for block in _blocks(item)))
    item = an_object(value, "an item of `input`")
    role = "tool" if _is_result(item) else _ROLES.get(str(item.get("role")), "user")
    return Message(role, tuple(_blocks(item)))


def tool_name(item: dict[str, Any]) -> str:
    """A tool in a namespace is called `namespace__name`, as agents without namespaces call it."""
    name, namespace = str(item.get("name") or ""), item.get("namespace")
    if not isinstance(namespace, str) or not namespace:
        return name
    return namespace + name if namespace.endswith("__") else f"{namespace}__{name}"


def _items(value: Any) -> list[Any] | None:
    """The items of a turn of the model; None for a message of someone else."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and of_model(value.get("type"), value.get("role"), value.get("execution")):
        return [value]
    return None


def _said(item: Any) -> list[Any]:
    """What an item of the model adds to its turn."""
    if not isinstance(item, dict):
        return [item]
    if _kind(item) == "reasoning":
        return []
    return _content(item.get("content")) if _is_message(item) else [_identity(item)]


def _kind(value: dict[str, Any]) -> str:
    """The type of an item or of a part; of one without, nothing."""
    kind = value.get("type")
    return kind if isinstance(kind, str) else ""


def _is_message(item: dict[str, Any]) -> bool:
    return "role" in item and _kind(item) in ("message", "")


def _identity(item: dict[str, Any]) -> dict[str, Any]:
    kind = _kind(item)
    if _is_message(item):
        found = {key: v for key, v in item.items() if key not in _OF_PROVIDER and key not in _MARKS and key != "type"}
        found["content"] = _content(item.get("content"))
    elif kind == "function_call":
        found = _call(item) | {"arguments": parsed(item.get("arguments"))}
    elif kind == "custom_tool_call":
        found = _call(item) | {"input": item.get("input")}
    elif kind in _RESULTS:
        found = {"type": kind, "call_id": item.get("call_id"), "output": _content(item.get("output"))}
    elif kind in _KNOWN:
        found = {key: v for key, v in item.items() if key not in _OF_PROVIDER}
        found = {key: _lean(v) if isinstance(v, dict) else v for key, v in found.items()}
    else:
        found = item
    return _lean(found)


def _lean(value: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that hold nothing."""
    return {key: inner for key, inner in value.items() if inner is not None}


def _call(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": item.get("type"),
        "call_id": item.get("call_id") or item.get("id"),
        "name": item.get("name"),
        "namespace": item.get("namespace") or None,
    }


def _content(content: Any) -> list[Any]:
    """Its texts and other parts, flat: a text is a list of one, and an empty one is nothing."""
    found: list[Any] = []
    for part in content if isinstance(content, list) else [content]:
        said = part
        if isinstance(part, dict):
            kind = _kind(part)
            if kind == "reasoning_text":
                continue
            text = part.get("text") if kind in _TEXTS else None
            said = text if isinstance(text, str) else _part(part)
        if isinstance(said, str):
            said = said.strip()
        if said is not None and said != "":
            found.append(said)
    return found


def _part(part: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in part.items() if key not in _MARKS and value is not None}
    if found.get("detail") == "auto":
        del found["detail"]
    return found


def _blocks(item: Any) -> list[Block]:
    if not isinstance(item, dict):
        return [Other({"value": item})]
    kind = _kind(item)
    if kind == "reasoning":
        return [_reasoning(item)]
    if _is_message(item):
        return [block for part in _parts(item.get("content")) if (block := _block(part)) is not None]
    if kind == "function_call":
        return [_tool_use(item, tool_name(item), item.get("arguments"))]
    if kind == "custom_tool_call":
        return [_tool_use(item, tool_name(item), item.get("input"))]
    if kind in _OWN_CALLS and item.get("call_id"):
        return [_tool_use(item, kind.removesuffix("_call"), item.get(_OWN_CALLS[kind], item.get("actions")))]
    if _is_result(item):
        return _result(item)
    return [Other(item)]


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _block(part: Any) -> Block | None:
    if part is None or part == "":
        return None
    if isinstance(part, str):
        return Text(part)
    if not isinstance(part, dict):
        return Other({"value": part})
    kind = _kind(part)
    said = part.get("refusal" if kind == "refusal" else "text")
    if (kind in _TEXTS or kind == "refusal") and isinstance(said, str):
        return Text(said) if said else None
    if kind == "reasoning_text" and isinstance(said, str):
        return Reasoning(said)
    if kind in ("input_image", "input_file", "computer_screenshot"):
        return Media(kind, next((str(part[key]) for key in _MEDIA if part.get(key)), ""))
    if kind == "input_audio" and isinstance(audio := part.get("input_audio"), dict):
        return Media(kind, f"data:audio/{audio.get('format', 'wav')};base64,{audio.get('data', '')}")
    return Other(part)


def _reasoning(item: dict[str, Any]) -> Reasoning:
    """In the model's own words where they are shown, else in the summary's."""
    texts = [
        [part["text"] for part in _parts(item.get(key)) if isinstance(part, dict) and isinstance(part.get("text"), str)]
        for key in ("content", "summary")
    ]
    encrypted = item.get("encrypted_content")
    return Reasoning("\n\n".join(texts[0] or texts[1]), encrypted if isinstance(encrypted, str) else None)


def _tool_use(item: dict[str, Any], name: str, said: Any) -> ToolUse:
    arguments = parsed(said)
    return ToolUse(
        id=str(item.get("call_id") or item.get("id") or ""),
        name=name,
        arguments=arguments if isinstance(arguments, dict) else None,
        raw=said if isinstance(said, str) else "" if said is None else dump(said).decode(),
    )


def _is_result(item: dict[str, Any]) -> bool:
    return _kind(item).endswith("_output")


def _result(item: dict[str, Any]) -> list[Block]:
    """A tool's result in words, then its pictures and files."""
    said = next((item[key] for key in ("output", "tools", "result") if item.get(key) is not None), None)
    blocks = [block for part in _parts(said) if (block := _block(part)) is not None]
    words = [
        block.text if isinstance(block, Text) else dump(block.raw).decode()
        for block in blocks
        if isinstance(block, Text | Other)
    ]
    id = str(item.get("call_id") or item.get("id") or "")
    media = [block for block in blocks if isinstance(block, Media)]
    return [ToolResult(id, "".join(words), is_error=item.get("status") == "failed"), *media]
