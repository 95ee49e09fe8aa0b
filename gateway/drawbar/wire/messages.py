"""The `messages` dialect: Anthropic messages.

Reference: https://docs.anthropic.com/en/api/messages. Conversations begin with the instructions of the request's
`system`, as a message of that role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from drawbar.wire.dialect import Assembler, BadBody, Overrides, Request, Response
from drawbar.wire.fields import fields, items, joined, patched, string
from drawbar.wire.message import Message
from drawbar.wire.messages_message import canonical, normal
from drawbar.wire.messages_stream import MessagesAssembler
from drawbar.wire.messages_usage import usage
from drawbar.wire.provider_error import said
from drawbar.wire.tolerant import dump, load, load_object

_NOTHING: Final = frozenset({b"null", b'""', b"[]"})
_NAMES: Final = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}
"""What sampling settings of other dialects are called in this one."""
_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class MessagesDialect:
    """Anthropic messages."""

    name = "messages"

    def split(self, body: bytes) -> Request:
        values = fields(body)
        if "messages" not in values:
            raise BadBody("`messages` is missing")
        messages = items(values.pop("messages"), "messages")
        if not messages:
            raise BadBody("`messages` is empty")
        system = bytes(values.pop("system", b"null"))
        if instructed := system not in _NOTHING:
            messages.insert(0, b'{"role":"system","content":' + system + b"}")
        model = string(values.pop("model", None), "model")
        stream = values.pop("stream", None)
        tools = bytes(values.pop("tools", b"null"))
        return Request(
            model=model,
            stream=stream is not None and bytes(stream) == b"true",
            messages=messages,
            tools=None if tools in _NOTHING else tools,
            envelope=joined(values),
            previous=_previous(values.get("thread")),
            standing=int(instructed),
        )

    def canonical(self, message: bytes) -> bytes:
        return canonical(message)

    def normal(self, message: bytes) -> Message:
        return normal(message)

    def changes(self, request: Request, overrides: Overrides) -> dict[str, Any]:
        """Streams of this dialect carry token counts without being asked."""
        found: dict[str, Any] = {}
        if overrides.model is not None and overrides.model != request.model:
            found["model"] = overrides.model
        envelope = load(request.envelope) if overrides.sampling else {}
        for key, value in overrides.sampling.items():
            name = _NAMES.get(key, key)
            if key == "stop" and isinstance(value, str):
                value = [value]
            if name not in envelope or envelope[name] != value:
                found[name] = value
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
        return _names(load_object(envelope, "the envelope").get("id"))

    def assembler(self) -> Assembler:
        return MessagesAssembler()

    def error(self, status: int, message: str, code: str) -> bytes:
        """The code stands where Anthropic's SDKs look for one."""
        kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
        return dump({"type": "error", "error": {"type": kind, "message": message, "details": {"error_code": code}}})

    def stream_error(self, status: int, message: str, code: str) -> list[bytes]:
        return [self.error(status, message, code)]

    def error_message(self, body: bytes) -> str:
        return said(body)


def _previous(thread: msgspec.Raw | None) -> str | None:
    """The answer that a request continues whose conversation the provider keeps."""
    value = None if thread is None else load(bytes(thread))
    named = value.get("previous_message_id") if isinstance(value, dict) else None
    return named if isinstance(named, str) and named else None


def _names(id: Any) -> tuple[str, ...]:
    return (id,) if isinstance(id, str) and id else ()


def _response(body: bytes) -> Response:
    values = fields(body)
    if "content" not in values:
        raise BadBody("the answer has no `content`")
    content = bytes(values.pop("content"))
    role = bytes(values.pop("role", b'"assistant"'))
    finish, id, counts = (load(bytes(values.get(key, b"null"))) for key in ("stop_reason", "id", "usage"))
    return Response(
        message=None if content == b"null" else b'{"role":' + role + b',"content":' + content + b"}",
        finish=finish if isinstance(finish, str) else None,
        usage=usage(counts),
        envelope=joined(values),
        names=_names(id),
    )
