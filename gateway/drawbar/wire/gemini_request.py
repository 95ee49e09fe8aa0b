"""Requests of the `gemini` dialect: cut into slices, and changed where the gateway sets fields of its own.

Model and streaming stand in the URL (`gemini_path`): who knows it sets them in the `Request`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec
import orjson

from drawbar.wire.dialect import BadBody, Overrides, Request
from drawbar.wire.fields import fields, items, joined, patched
from drawbar.wire.gemini_names import snake, spelled
from drawbar.wire.tolerant import load

_CONFIG: Final = "generationConfig"
_SAMPLING: Final = {
    "max_tokens": "maxOutputTokens", "max_completion_tokens": "maxOutputTokens", "top_p": "topP", "top_k": "topK",
    "stop": "stopSequences", "n": "candidateCount", "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty", "logprobs": "responseLogprobs", "top_logprobs": "logprobs",
}  # fmt: skip
"""Our names of sampling fields that have another name here. Fields of neither kind go out under the name they have."""

_ROLE_FIRST: Final = re.compile(rb'\s*\{\s*"role"\s*:\s*"(\w+)"')
_ROLE_LAST: Final = re.compile(rb'"role"\s*:\s*"(\w+)"\s*\}\s*$')
"""Where the role stands in what SDKs send, so that the texts of a long conversation are not searched for it."""


class _Turn(msgspec.Struct, forbid_unknown_fields=True):
    """A content that says nothing beside its parts."""

    parts: msgspec.Raw
    role: str = "user"


_TURN: Final = msgspec.json.Decoder(_Turn)


def split(body: bytes) -> Request:
    """A request, its system instruction as the first message. Raises `BadBody`.

    The SDKs' chats resend a streamed reply as one content per chunk. Contents of the model that follow each other are
    therefore one message, the parts one after another.
    """
    values = fields(body)
    contents = values.pop("contents", None)
    if contents is None or bytes(contents) == b"null":
        raise BadBody("`contents` is missing")
    alone = _is_object(contents)  # the API takes a single content without a list
    messages = [bytes(contents)] if alone else list(_turns(items(contents, "contents")))
    if not messages:
        raise BadBody("`contents` is empty")
    system = _taken(values, "systemInstruction")
    tools = _taken(values, "tools")
    return Request(
        model="",
        stream=False,
        messages=messages if system is None else [b'{"systemInstruction":' + system + b"}", *messages],
        tools=tools,
        envelope=joined(values),
    )


def _taken(values: dict[str, msgspec.Raw], name: str) -> bytes | None:
    """The field, taken out, however its name is written; None when nothing is in it."""
    found = [bytes(values.pop(key)) for key in dict.fromkeys((name, snake(name))) if key in values]
    return next((value for value in found if value not in (b"null", b"[]", b"{}", b'""')), None)


def _turns(contents: Sequence[bytes]) -> Iterator[bytes]:
    """The contents, those of the model that follow each other joined. Only where some may, they are looked into."""
    for may_be_models, entries in groupby(contents, key=_names_model):
        run = list(entries)
        yield from _joined(run) if may_be_models and len(run) > 1 else run


def _names_model(content: bytes) -> bool:
    role = _ROLE_FIRST.match(content) or _ROLE_LAST.search(content, max(0, len(content) - 40))
    return b'"model"' in content if role is None else role[1] == b"model"


def _joined(contents: Sequence[bytes]) -> Iterator[bytes]:
    read = ((raw, _of_model(raw)) for raw in contents)
    for of_model, entries in groupby(read, key=lambda entry: entry[1] is not None):
        run = list(entries)
        if of_model and len(run) > 1:
            yield b'{"role":"model","parts":[' + b",".join(parts for _, parts in run if parts) + b"]}"
        else:
            yield from (raw for raw, _ in run)


def _of_model(content: bytes) -> bytes | None:
    """The parts, without their brackets, of a content that is the model's and nothing besides."""
    try:
        turn = _TURN.decode(content)
    except msgspec.MsgspecError:
        return None
    parts = bytes(turn.parts)
    if turn.role != "model" or parts[:1] not in b"[{":
        return None
    return parts[1:-1].strip() if parts[:1] == b"[" else parts


def changes(request: Request, overrides: Overrides) -> dict[str, Any]:
    """The fields of `generationConfig` that are to be set, by the name under which the client has it.

    Another model is another URL, and token counts come with every answer: neither changes the body.
    """
    if not overrides.sampling:
        return {}
    envelope = load(request.envelope)
    config = spelled(envelope, _CONFIG)
    known = envelope.get(config)
    known = known if isinstance(known, dict) else {}
    found: dict[str, Any] = {}
    for key, value in overrides.sampling.items():
        name = _SAMPLING.get(key, key)
        if name == "stopSequences" and isinstance(value, str):
            value = [value]
        name = spelled(known, name)
        if name not in known or known[name] != value:
            found[name] = value
    return {config: found} if found else {}


def patch(body: bytes, changes: Mapping[str, Any]) -> bytes:
    """The body with these fields set. Of a field that is an object in both, only the fields named here are set."""
    values = fields(body) if any(isinstance(value, Mapping) for value in changes.values()) else {}
    return patched(body, {key: _merged(values.get(key), value) for key, value in changes.items()})


def _merged(known: msgspec.Raw | None, value: Any) -> Any:
    if known is None or not isinstance(value, Mapping) or not _is_object(known):
        return value
    return orjson.Fragment(patched(bytes(known), value))


def _is_object(value: msgspec.Raw) -> bool:
    return bytes(memoryview(value)[:1]) == b"{"
