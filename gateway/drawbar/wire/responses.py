"""The `responses` dialect: OpenAI Responses.

Reference: https://platform.openai.com/docs/api-reference/responses. Tools that the provider runs, tools in namespaces
and types of items that are not known here are kept as they are.

A message is one item of the `input`, except that all items of one turn of the model are one message: a list of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from drawbar.wire.dialect import Assembler, BadBody, Overrides, Request, Response
from drawbar.wire.fields import fields, items, joined, patched, string
from drawbar.wire.message import Message
from drawbar.wire.openai_error import openai_error
from drawbar.wire.provider_error import said
from drawbar.wire.responses_answer import answer, named, names
from drawbar.wire.responses_items import turns
from drawbar.wire.responses_message import canonical, normal
from drawbar.wire.responses_stream import ResponsesAssembler
from drawbar.wire.tolerant import dump, load, load_object

_NAMES: Final = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}


class ResponsesDialect:
    """OpenAI Responses."""

    name = "responses"

    def split(self, body: bytes) -> Request:
        values = fields(body)
        model = string(values.pop("model", None), "model")
        stream = values.pop("stream", None)
        tools = bytes(values.pop("tools", b"null"))
        instructions = _instructions(values)
        given = values.pop("input", None)
        messages, rest = _messages(given)
        previous = _previous(values)
        if not messages and previous is None and "prompt" not in values:
            raise BadBody("`input` is missing" if given is None else "`input` is empty")
        if rest:
            values["input"] = msgspec.Raw(b"[" + b",".join(rest) + b"]")
        return Request(
            model=model,
            stream=stream is not None and bytes(stream) == b"true",
            messages=instructions + messages,
            tools=None if tools in (b"null", b"[]") else tools,
            envelope=joined(values),
            previous=previous,
            standing=len(instructions),
        )

    def canonical(self, message: bytes) -> bytes:
        return canonical(message)

    def normal(self, message: bytes) -> Message:
        return normal(message)

    def changes(self, request: Request, overrides: Overrides) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if overrides.model is not None and overrides.model != request.model:
            found["model"] = overrides.model
        envelope = load(request.envelope) if overrides.sampling else {}
        for key, value in overrides.sampling.items():
            name = _NAMES.get(key, key)
            if key == "reasoning_effort":
                reasoning = envelope.get("reasoning")
                name, value = "reasoning", {**(reasoning if isinstance(reasoning, dict) else {}), "effort": value}
            if name not in envelope or envelope[name] != value:
                found[name] = value
        return found

    def patch(self, body: bytes, changes: Mapping[str, Any]) -> bytes:
        return patched(body, changes)

    def response(self, body: bytes) -> Response:
        try:
            return answer(fields(body))
        except BadBody:
            # Only the fast way of cutting the bytes may have failed: read it whole, and write it again.
            return answer(fields(dump(load_object(body, "the answer"))))

    def names(self, envelope: bytes) -> tuple[str, ...]:
        return names(fields(envelope))

    def assembler(self) -> Assembler:
        return ResponsesAssembler()

    def error(self, status: int, message: str, code: str) -> bytes:
        return dump({"error": openai_error(status, message, code)})

    def stream_error(self, status: int, message: str, code: str) -> list[bytes]:
        """The event at which SDKs raise, then the one that agents wait for."""
        failed = {
            "id": "", "object": "response", "created_at": 0, "model": "", "status": "failed", "output": [],
            "error": {"code": code, "message": message}, "incomplete_details": None, "usage": None,
            "tools": [], "tool_choice": "auto", "parallel_tool_calls": True,
        }  # fmt: skip
        error = {"type": "error", "sequence_number": 0, "error": openai_error(status, message, code)}
        end = {"type": "response.failed", "sequence_number": 1, "response": failed}
        return [dump(error), dump(end)]

    def error_message(self, body: bytes) -> str:
        return said(body)


def _instructions(values: dict[str, msgspec.Raw]) -> list[bytes]:
    """Taken out of the fields as the system's message that they are; none when nothing is said."""
    if bytes(values.get("instructions", b"null")) in (b"null", b'""', b"[]"):
        return []
    return [b'{"role":"system","content":' + bytes(values.pop("instructions")) + b"}"]


def _messages(given: msgspec.Raw | None) -> tuple[list[bytes], list[bytes]]:
    """One slice per message, and what at the end belongs to the reply that is asked for."""
    raw = bytes(given or b"null")
    if raw == b"null":
        return [], []
    if raw.startswith(b'"'):
        return [b'{"role":"user","content":' + raw + b"}"], []
    if not raw.startswith(b"["):
        raise BadBody("`input` must be a string or a list")
    return turns(items(raw, "input"))


def _previous(values: Mapping[str, msgspec.Raw]) -> str | None:
    for key in ("previous_response_id", "conversation"):
        if key in values and (found := named(load(bytes(values[key])))) is not None:
            return found
    return None
