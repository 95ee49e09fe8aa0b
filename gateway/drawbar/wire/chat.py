"""The `chat` dialect: OpenAI chat completions.

Reference: https://platform.openai.com/docs/api-reference/chat. What providers add (reasoning, cache marks, token ids)
is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from drawbar.wire.chat_message import canonical, normal
from drawbar.wire.chat_stream import ChatAssembler
from drawbar.wire.chat_usage import usage
from drawbar.wire.dialect import Assembler, BadBody, Overrides, Request, Response
from drawbar.wire.fields import fields, items, joined, patched, string
from drawbar.wire.message import Message
from drawbar.wire.openai_error import openai_error
from drawbar.wire.provider_error import said
from drawbar.wire.tolerant import dump, load, load_object


class ChatDialect:
    """OpenAI chat completions."""

    name = "chat"

    def split(self, body: bytes) -> Request:
        values = fields(body)
        if "messages" not in values:
            raise BadBody("`messages` is missing")
        messages = items(values.pop("messages"), "messages")
        if not messages:
            raise BadBody("`messages` is empty")
        model = string(values.pop("model", None), "model")
        stream = values.pop("stream", None)
        tools = bytes(values.pop("tools", b"null"))
        return Request(
            model=model,
            stream=stream is not None and bytes(stream) == b"true",
            messages=messages,
            tools=None if tools in (b"null", b"[]") else tools,
            envelope=joined(values),
        )

    def canonical(self, message: bytes) -> bytes:
        return canonical(message)

    def normal(self, message: bytes) -> Message:
        return normal(message)

    def changes(self, request: Request, overrides: Overrides) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if overrides.model is not None and overrides.model != request.model:
            found["model"] = overrides.model
        envelope = load(request.envelope) if overrides.sampling or (overrides.stream_usage and request.stream) else {}
        for key, value in overrides.sampling.items():
            # Newer models take only the newer name; a client that uses it knows its model.
            name = "max_completion_tokens" if key == "max_tokens" and "max_completion_tokens" in envelope else key
            if name not in envelope or envelope[name] != value:
                found[name] = value
        if overrides.stream_usage and request.stream:
            options = envelope.get("stream_options") or {}
            if isinstance(options, dict) and not options.get("include_usage"):
                found["stream_options"] = {**options, "include_usage": True}
        return found

    def patch(self, body: bytes, changes: Mapping[str, Any]) -> bytes:
        return patched(body, changes)

    def response(self, body: bytes) -> Response:
        try:
            return _response(body)
        except BadBody:
            # Only the fast way of cutting the bytes may have failed: read it whole, and write it again.
            return _response(dump(load_object(body, "the answer")))

    def names(self, envelope: bytes) -> tuple[str, ...]:
        return ()

    def assembler(self) -> Assembler:
        return ChatAssembler()

    def error(self, status: int, message: str, code: str) -> bytes:
        return dump({"error": openai_error(status, message, code)})

    def stream_error(self, status: int, message: str, code: str) -> list[bytes]:
        return [self.error(status, message, code)]

    def error_message(self, body: bytes) -> str:
        return said(body)


def _response(body: bytes) -> Response:
    values = fields(body)
    if "choices" not in values:
        raise BadBody("the answer has no `choices`")
    choices = [fields(choice) for choice in items(values["choices"], "choices")]
    first = next((choice for choice in choices if bytes(choice.get("index", b"0")) == b"0"), None)
    message = first.pop("message", None) if first is not None else None
    values["choices"] = msgspec.Raw(msgspec.json.encode(choices))
    finish = load(bytes(first["finish_reason"])) if first is not None and "finish_reason" in first else None
    return Response(
        message=None if message is None or bytes(message) == b"null" else bytes(message),
        finish=finish if isinstance(finish, str) else None,
        usage=usage(load(bytes(values["usage"]))) if "usage" in values else usage(None),
        envelope=joined(values),
    )
