"""The `gemini` dialect: Google's Generative Language API, `generateContent` and `streamGenerateContent`.

Reference: https://ai.google.dev/api/generate-content. Its proto JSON takes every name in camelCase and in snake_case.
Model and streaming stand in the URL (`gemini_path`). A stream is one of server-sent events (`?alt=sse`) or a JSON array
that comes piece by piece (`json_array`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from drawbar.wire import gemini_request
from drawbar.wire.dialect import Assembler, BadBody, Overrides, Request, Response
from drawbar.wire.fields import fields, items, joined
from drawbar.wire.gemini_message import canonical, normal
from drawbar.wire.gemini_stream import GeminiAssembler, read
from drawbar.wire.message import Message
from drawbar.wire.provider_error import said
from drawbar.wire.tolerant import dump, load, load_object

_STATUS: Final = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    416: "OUT_OF_RANGE", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED",
    503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
"""The names of https://cloud.google.com/apis/design/errors by HTTP status."""

_ANSWERS: Final = ("candidates", "promptFeedback", "prompt_feedback", "usageMetadata", "usage_metadata")
_NOT_IN_REASON: Final = re.compile(r"[^A-Z0-9]+")


class GeminiDialect:
    """Google Gemini."""

    name = "gemini"

    def split(self, body: bytes) -> Request:
        """The model is "" and nothing streams: the caller replaces both by what the URL says."""
        return gemini_request.split(body)

    def canonical(self, message: bytes) -> bytes:
        return canonical(message)

    def normal(self, message: bytes) -> Message:
        return normal(message)

    def changes(self, request: Request, overrides: Overrides) -> dict[str, Any]:
        return gemini_request.changes(request, overrides)

    def patch(self, body: bytes, changes: Mapping[str, Any]) -> bytes:
        return gemini_request.patch(body, changes)

    def response(self, body: bytes) -> Response:
        """Of a stream's JSON array that came as a whole, too."""
        if body.lstrip()[:1] == b"[":
            return _strung(items(body.strip(), "the answer"))
        try:
            return _response(body)
        except BadBody:
            # Only the fast way of cutting the bytes may have failed: read it whole.
            value = _answer(load_object(body, "the answer"))
            if not isinstance(value.get("candidates", []), list):
                raise
            return read(value)

    def names(self, envelope: bytes) -> tuple[str, ...]:
        return ()

    def assembler(self) -> Assembler:
        return GeminiAssembler()

    def error(self, status: int, message: str, code: str) -> bytes:
        name = _STATUS.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": _NOT_IN_REASON.sub("_", code.upper()),
            "domain": "drawbar",
        }
        return dump({"error": {"code": status, "message": message, "status": name, "details": [info]}})

    def stream_error(self, status: int, message: str, code: str) -> list[bytes]:
        return [self.error(status, message, code)]

    def error_message(self, body: bytes) -> str:
        """Also of an error that comes as the only element of a stream's array."""
        try:
            value = load(body)
        except BadBody:
            return said(body)
        return said(dump(value[0])) if isinstance(value, list) and len(value) == 1 else said(body)


def _strung(chunks: list[bytes]) -> Response:
    assembler = GeminiAssembler()
    for chunk in chunks:
        assembler.feed(chunk)
    if assembler.error is not None or not chunks:
        raise BadBody(f"the answer is an error: {assembler.error}" if chunks else "the answer is an empty list")
    return assembler.response()


def _response(body: bytes) -> Response:
    """The reply as a slice of the answer's bytes."""
    values = _answer(fields(body))
    raw = values.get("candidates")
    if raw is None or bytes(raw) == b"null":
        return read({key: load(bytes(value)) for key, value in values.items()})
    candidates = [fields(candidate) for candidate in items(raw, "candidates")]
    first = next((item for item in candidates if bytes(item.get("index", b"0")) in (b"0", b"null")), {})
    message = _reply(first.pop("content", None))
    values["candidates"] = msgspec.Raw(msgspec.json.encode(candidates))
    rest = joined(values)
    response = read(load_object(rest, "the answer"))
    return Response(message=message, finish=response.finish, usage=response.usage, envelope=rest)


def _answer(values: dict[str, Any]) -> dict[str, Any]:
    if not any(name in values for name in _ANSWERS):
        raise BadBody("the answer has no `candidates`")
    return values


def _reply(content: msgspec.Raw | None) -> bytes | None:
    """The content, said by the model even where it does not say so."""
    raw = b"" if content is None else bytes(content)
    if not raw.startswith(b"{") or not (found := fields(raw)):
        return None
    return raw if "role" in found else joined({"role": msgspec.Raw(b'"model"'), **found})
