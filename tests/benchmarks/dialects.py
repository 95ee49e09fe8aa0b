"""What the benchmarks say in each dialect: requests piece by piece, and answers as bytes that are ready to be sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ID = "answer-00000000"
"""The name of every answer; the scripted model numbers it."""
TEXT = "$TEXT"
"""Where the words go."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One dialect, with the same words in the same places as every other."""

    path: str
    request: Mapping[str, Any]
    """A request; without a place for its instructions, they are the first message of the conversation."""
    conversation: str
    """The field that holds the conversation, the last of a request."""
    message: Mapping[str, Any]
    """A message of the conversation."""
    model: str
    """What the role of the model is called."""
    whole: Mapping[str, Any]
    """An answer."""
    before: Sequence[Mapping[str, Any]]
    """The events of a stream before the first word."""
    word: Mapping[str, Any]
    after: Sequence[Mapping[str, Any] | str]
    """The events that end a stream."""
    expect: str
    """What every answer has in it."""
    ends: str
    """What every stream has in it once it is whole."""
    stream: Mapping[str, Any] = field(default_factory=lambda: {"stream": True})
    """What a request for a stream has in it."""
    stream_path: str = ""

    def path_of(self, *, stream: bool) -> str:
        return self.stream_path if stream and self.stream_path else self.path

    def opening(self, instructions: bytes, *, stream: bool = False) -> bytes:
        """A request's body up to the first message of its conversation; `]}` ends it."""
        asked = _json({**(self.stream if stream else {}), **self.request, self.conversation: []})[:-2]
        if TEXT.encode() in asked:
            return asked.replace(TEXT.encode(), instructions)
        return asked + self.said("system", instructions) + b","

    def said(self, role: str, text: bytes) -> bytes:
        """A message of the `system`, the `user` or the `assistant`."""
        role = self.model if role == "assistant" else role
        return _json(self.message).replace(b"$ROLE", role.encode()).replace(TEXT.encode(), text)

    def event(self, payload: Mapping[str, Any] | str, text: bytes = b"") -> bytes:
        """One event of a stream."""
        data = payload.encode() if isinstance(payload, str) else _json(payload).replace(TEXT.encode(), text)
        name = payload.get("type") if isinstance(payload, Mapping) else None
        return (b"event: %s\n" % name.encode() if name else b"") + b"data: " + data + b"\n\n"

    def answer(self, text: bytes) -> bytes:
        return _json(self.whole).replace(TEXT.encode(), text)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


_ROLE_AND_CONTENT = {"role": "$ROLE", "content": TEXT}


def chat_completion(message: Mapping[str, Any], finish: str = "stop") -> dict[str, Any]:
    """A whole answer of the chat dialect."""
    return {
        "id": ID, "object": "chat.completion", "created": 1_700_000_000, "model": "scripted",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 500, "completion_tokens": 60, "total_tokens": 560},
    }  # fmt: skip


def chat_chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    """One event of a stream of the chat dialect."""
    head = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "scripted"}
    return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


CHAT = Spoken(
    path="/v1/chat/completions",
    request={"model": "scripted"},
    conversation="messages",
    message=_ROLE_AND_CONTENT,
    model="assistant",
    whole=chat_completion({"content": TEXT}),
    before=[chat_chunk({"role": "assistant", "content": ""})],
    word=chat_chunk({"content": TEXT}),
    after=[chat_chunk({}, "stop"), "[DONE]"],
    expect='"choices"',
    ends="[DONE]",
)  # fmt: skip

_RESPONSE = {
    "id": ID, "object": "response", "created_at": 1_700_000_000, "model": "scripted", "error": None,
    "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True, "temperature": 1.0,
    "tool_choice": "auto", "tools": [], "top_p": 1.0, "previous_response_id": None, "store": True,
}  # fmt: skip
_PART = {"type": "output_text", "annotations": [], "logprobs": [], "text": TEXT}
_ITEM = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [_PART]}
_COMPLETED = {
    **_RESPONSE,
    "status": "completed",
    "output": [_ITEM],
    "usage": {"input_tokens": 500, "output_tokens": 60, "total_tokens": 560},
}
_AT = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "sequence_number": 7}
RESPONSES = Spoken(
    path="/v1/responses",
    request={"model": "scripted", "instructions": TEXT},
    conversation="input",
    message=_ROLE_AND_CONTENT,
    model="assistant",
    whole=_COMPLETED,
    before=[
        {"type": "response.created", "response": {**_RESPONSE, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0,
         "item": {**_ITEM, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **_AT, "part": {**_PART, "text": ""}},
    ],
    word={"type": "response.output_text.delta", **_AT, "delta": TEXT, "logprobs": [], "obfuscation": "Bq"},
    after=[
        {"type": "response.output_text.done", **_AT, "text": TEXT, "logprobs": []},
        {"type": "response.content_part.done", **_AT, "part": _PART},
        {"type": "response.output_item.done", "output_index": 0, "item": _ITEM},
        {"type": "response.completed", "response": _COMPLETED},
    ],
    expect='"output"',
    ends='"response.completed"',
)  # fmt: skip

_MESSAGE = {
    "id": ID, "type": "message", "role": "assistant", "model": "scripted", "stop_sequence": None,
    "usage": {"input_tokens": 500, "output_tokens": 60},
}  # fmt: skip
MESSAGES = Spoken(
    path="/v1/messages",
    request={"model": "scripted", "max_tokens": 1000, "system": TEXT},
    conversation="messages",
    message=_ROLE_AND_CONTENT,
    model="assistant",
    whole={**_MESSAGE, "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn"},
    before=[
        {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ],
    word={"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
    after=[
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 60}},
        {"type": "message_stop"},
    ],
    expect='"stop_reason"',
    ends='"message_stop"',
)


def _candidate(**finish: str) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": [{"text": TEXT}], "role": "model"}, **finish, "index": 0}],
        "usageMetadata": {"promptTokenCount": 500, "candidatesTokenCount": 60, "totalTokenCount": 560},
        "modelVersion": "scripted",
        "responseId": ID,
    }


GEMINI = Spoken(
    path="/v1beta/models/scripted:generateContent",
    stream_path="/v1beta/models/scripted:streamGenerateContent?alt=sse",
    request={"systemInstruction": {"parts": [{"text": TEXT}]}},
    conversation="contents",
    message={"role": "$ROLE", "parts": [{"text": TEXT}]},
    model="model",
    stream={},
    whole=_candidate(finishReason="STOP"),
    before=[],
    word=_candidate(),
    after=[_candidate(finishReason="STOP")],
    expect='"candidates"',
    ends='"STOP"',
)

SPOKEN = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES, "gemini": GEMINI}


def spoken_at(target: str) -> str:
    """The name of the dialect that is spoken at a URL's path and query; chat at any other."""
    found = (name for name, one in SPOKEN.items() if target in (one.path, one.stream_path))
    return next(found, "chat")
