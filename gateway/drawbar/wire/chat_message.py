"""Messages of the `chat` dialect: what identifies one, and its normal form.

Clients say the same thing in different bytes: a content as a text or as a list of one text, cache marks that move from
message to message, arguments written anew, null for missing, reasoning left out. The rules come from recordings of real
agents.
"""

from __future__ import annotations

from typing import Any, Final, cast

from drawbar.wire.arguments import parsed
from drawbar.wire.message import Block, Media, Message, Other, Reasoning, Role, Text, ToolResult, ToolUse
from drawbar.wire.tolerant import an_object, dump, load_message

_REASONING: Final = ("thinking", "redacted_thinking", "reasoning", "reasoning_text")
_ASSISTANT: Final = ("refusal", "audio", "function_call")
"""What says something in an assistant's message, beside content and tool calls: clients lose all else."""
_NOT_IDENTITY: Final = frozenset({"role", "content", "tool_calls", "cache_control"})
_ROLES: Final[dict[str, Role]] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
    "tool": "tool", "function": "tool",
}  # fmt: skip


def canonical(message: bytes) -> bytes:
    """The bytes that identify a message. Raises `BadBody`."""
    value = an_object(load_message(message), "a message")
    role = value.get("role")
    said: dict[str, Any] = {"role": role, "content": _content(value.get("content"))}
    said["tool_calls"] = [_call(call) for call in _list(value.get("tool_calls"))]
    if role == "assistant":
        said |= {key: value.get(key) for key in _ASSISTANT}
    else:
        said |= {key: v for key, v in value.items() if key not in _NOT_IDENTITY and (role, key) != ("tool", "name")}
        said = {key: v for key, v in said.items() if not key.startswith("__")}  # a client's notes to itself
        said = {key: v for key, v in said.items() if not key.startswith("__")}  # a client's notes to itself
    return dump({key: v for key, v in said.items() if v is not None and v != "" and v != [] and v != {}}, sort=True)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _content(content: Any) -> list[Any]:
    found: list[Any] = []
    for block in content if isinstance(content, list) else [content]:
        if isinstance(block, dict):
            kind = block.get("type")
            if kind in _REASONING:
                continue
            if kind == "text" and isinstance(block.get("text"), str):
                block = block["text"]
            else:
                found.append({k: v for k, v in block.items() if k != "cache_control" and v is not None})
                continue
        if isinstance(block, str):
            block = block.strip()
        if block is not None and block != "":
            found.append(block)
    return found


def _call(call: Any) -> Any:
    if not isinstance(call, dict):
        return call
    function = call.get("function")
    if not isinstance(function, dict):
        return {
            key: value for key, value in call.items() if value is not None and key not in ("index", "cache_control")
        }
    return {"id": call.get("id"), "name": function.get("name"), "arguments": parsed(function.get("arguments"))}


def normal(message: bytes) -> Message:
    """A message in normal form. Raises `BadBody`."""
    value = an_object(load_message(message, mend=True), "a message")
    role = _ROLES.get(str(value.get("role")), "user")
    blocks: list[Block] = []
    for key in ("reasoning_content", "reasoning"):
        if isinstance(value.get(key), str) and value[key]:
            blocks.append(Reasoning(value[key]))
            break
    content = [block for part in _parts(value.get("content")) if (block := _block(part)) is not None]
    if role == "tool":
        blocks += [_result(value, content), *(block for block in content if isinstance(block, Media))]
    else:
        blocks += content
    if isinstance(value.get("refusal"), str) and value["refusal"]:
        blocks.append(Text(value["refusal"]))
    blocks += (_tool_use(call) for call in _list(value.get("tool_calls")) if isinstance(call, dict))
    if isinstance(value.get("function_call"), dict):
        blocks.append(_tool_use({"function": value["function_call"]}))
    return Message(role, tuple(blocks))


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _block(part: Any) -> Block | None:
    if part is None or part == "":
        return None
    if isinstance(part, str):
        return Text(part)
    if not isinstance(part, dict):
        return Other({"value": part})
    kind = part.get("type")
    if kind in ("text", "refusal") and isinstance(said := part.get(kind), str):
        return Text(said) if said else None
    if kind in _REASONING:
        return Reasoning(_words(part), part.get("signature"))
    if kind in ("image_url", "input_audio", "file", "video_url"):
        return Media(kind, _url(cast(dict[str, Any], part), kind))
    return Other(part)


def _words(part: dict[str, Any]) -> str:
    said = part.get("thinking", part.get("reasoning", part.get("text")))
    if isinstance(said, list):  # Mistral: a list of text chunks
        return "".join(chunk.get("text", "") for chunk in said if isinstance(chunk, dict))
    return said if isinstance(said, str) else ""


def _url(part: dict[str, Any], kind: str) -> str:
    value = part.get(kind)
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return ""
    if kind == "input_audio":
        return f"data:audio/{value.get('format', 'wav')};base64,{value.get('data', '')}"
    return str(value.get("url") or value.get("file_data") or value.get("file_id") or "")


def _result(value: dict[str, Any], content: list[Block]) -> ToolResult:
    text = "".join(block.text for block in content if isinstance(block, Text))
    return ToolResult(str(value.get("tool_call_id") or value.get("name") or ""), text)


def _tool_use(call: dict[str, Any]) -> ToolUse:
    kind = "custom" if isinstance(call.get("custom"), dict) else "function"
    body = call.get(kind)
    function = body if isinstance(body, dict) else {}
    said = function.get("input" if kind == "custom" else "arguments")
    arguments = parsed(said)
    return ToolUse(
        id=str(call.get("id") or ""),
        name=str(function.get("name") or ""),
        arguments=arguments if isinstance(arguments, dict) else None,
        raw=said if isinstance(said, str) else "" if said is None else dump(said).decode(),
    )
