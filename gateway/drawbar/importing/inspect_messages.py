"""Messages of Inspect AI's logs as chat messages, with what their references mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from drawbar.importing.conversation import ChatMessage
from drawbar.wire.tolerant import dump

_ATTACHMENT: Final = "attachment://"


class Messages:
    """Those of one sample."""

    def __init__(self, sample: Mapping[str, Any], losses: Counter[str]) -> None:
        """What has no place in a chat message is counted in `losses`, once for each message."""
        pooled = sample.get("events_data") or {}
        self._pool: list[Any] = list(pooled.get("messages") or ())
        self._attachments: Mapping[str, str] = sample.get("attachments") or {}
        self._losses = losses
        self._made: dict[bytes, ChatMessage] = {}

    def asked(self, event: Mapping[str, Any]) -> list[ChatMessage]:
        """What a model was asked with."""
        given = [self.chat(message) for message in event.get("input") or ()]
        for start, end in event.get("input_refs") or ():
            given += [self.chat(message) for message in self._pool[start:end]]
        return given

    def chat(self, message: Mapping[str, Any]) -> ChatMessage:
        """A message in chat form: the same object for the same message."""
        key = dump(message)
        if key not in self._made:
            self._made[key] = self._chat(self._resolved(message))
        return self._made[key]

    def _chat(self, message: Mapping[str, Any]) -> ChatMessage:
        role, content = message["role"], message.get("content")
        if role == "assistant":
            return self._assistant(message)
        if role == "tool":
            error = (message.get("error") or {}).get("message")
            said = error if error is not None else self._content(content)
            return {"role": "tool", "tool_call_id": message.get("tool_call_id"), "content": said}
        return {"role": role, "content": self._content(content)}

    def _assistant(self, message: Mapping[str, Any]) -> ChatMessage:
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        said: ChatMessage = {"role": "assistant", "content": None}
        words = [part["text"] for part in parts if part["type"] == "text"]
        thoughts = [self._thought(part) for part in parts if part["type"] == "reasoning"]
        for part in parts:
            if part["type"] not in ("text", "reasoning"):
                self._losses[f"blocks of type {part['type']} in replies"] += 1
        if thought := "".join(thoughts):
            said["reasoning_content"] = thought
        if words:
            said["content"] = "".join(words)
        if message.get("tool_calls"):
            said["tool_calls"] = [_call(call) for call in message["tool_calls"]]
        return said

    def _thought(self, part: Mapping[str, Any]) -> str:
        if part.get("signature"):
            self._losses["signatures of reasoning"] += 1
        if part.get("redacted"):
            self._losses["reasoning that its provider hides"] += 1
            return part.get("summary") or ""
        return part.get("reasoning") or part.get("summary") or ""

    def _content(self, content: Any) -> Any:
        if not isinstance(content, list):
            return content
        found = [told for part in content if (told := self._part(part)) is not None]
        if all(part["type"] == "text" for part in found):
            return "\n".join(part["text"] for part in found) if len(found) < 2 else found
        return found

    def _part(self, part: Mapping[str, Any]) -> dict[str, Any] | None:
        kind = part.get("type")
        if kind == "text":
            return {"type": "text", "text": part["text"]}
        if kind == "image":
            return {"type": "image_url", "image_url": {"url": part["image"]}}
        if kind == "audio":
            data = str(part["audio"]).partition(";base64,")[2] or part["audio"]
            return {"type": "input_audio", "input_audio": {"data": data, "format": part.get("format")}}
        if kind == "document":
            return {"type": "file", "file": {"file_data": part["document"], "filename": part.get("filename")}}
        self._losses[f"blocks of type {kind}"] += 1
        return None

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._attachments.get(value.removeprefix(_ATTACHMENT), value) if value[:13] == _ATTACHMENT else value
        if isinstance(value, Mapping):
            return {name: self._resolved(inner) for name, inner in value.items()}
        return [self._resolved(inner) for inner in value] if isinstance(value, list) else value


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = call.get("arguments")
    text = arguments if isinstance(arguments, str) else dump(arguments or {}).decode("utf-8", "replace")
    return {"id": call.get("id"), "type": "function", "function": {"name": call.get("function"), "arguments": text}}
