"""The top-level fields of a JSON object as slices of its bytes: read, cut out, replaced without touching the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import dump, load, load_whole

_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_STRING: Final = msgspec.json.Decoder(str)
_KEY: Final = re.compile(rb'[ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:[ \t\n\r]*')
_NEXT: Final = re.compile(rb"[ \t\n\r]*,?")
_OPEN: Final = re.compile(rb"[ \t\n\r]*\{")

Span = tuple[int, int, int]
"""Where a field's key begins, and where its value begins and ends."""


def fields(body: bytes) -> dict[str, msgspec.Raw]:
    """The object's values by key, each a slice. Raises `BadBody`."""
    try:
        return _FIELDS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        halves = _with_halves(body)
        if halves is None:
            raise BadBody(_why(body, error)) from error
        return halves


def _with_halves(body: bytes) -> dict[str, msgspec.Raw] | None:
    """Of an object that only halves of surrogate pairs keep from being read (agents cut texts in the middle of an
    emoji), the values with those replaced. None for anything else."""
    if (b"\\ud" not in body and b"\\uD" not in body) or _OPEN.match(body) is None:
        return None
    try:
        value = load_whole(body)
        return {key: msgspec.Raw(dump(item)) for key, item in value.items()} if isinstance(value, dict) else None
    except (BadBody, RecursionError):
        return None


def items(value: msgspec.Raw | bytes, what: str) -> list[bytes]:
    """The members of a list, each a slice. Raises `BadBody`."""
    try:
        return [bytes(item) for item in _ITEMS.decode(value)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"`{what}` must be a list: {error}") from error


def string(value: msgspec.Raw | bytes | None, name: str) -> str:
    """A text that must be there. Raises `BadBody`."""
    if value is None:
        raise BadBody(f"`{name}` is missing")
    try:
        return _STRING.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadBody(f"`{name}` must be a string") from error


def joined(values: Mapping[str, msgspec.Raw]) -> bytes:
    """One object of these slices, in this order."""
    return msgspec.json.encode(values)


def patched(body: bytes, changes: Mapping[str, Any]) -> bytes:
    """The body with these fields set, or removed where the value is None; every other byte stays. Raises `BadBody`."""
    if not changes:
        return body
    values = fields(body)
    spans = _spans(body, values)
    if spans is None:
        return _rebuilt(values, changes)
    edits: list[tuple[int, int, bytes]] = []
    added: list[bytes] = []
    for key, value in changes.items():
        span = spans.get(key)
        if value is None:
            if span is not None:
                return patched(_rebuilt(values, {key: None}), {k: v for k, v in changes.items() if k != key})
        elif span is not None:
            edits.append((span[1], span[2], dump(value)))
        else:
            added.append(dump(key) + b":" + dump(value))
    return _edited(body, edits, added, first=not values)


def _edited(body: bytes, edits: list[tuple[int, int, bytes]], added: list[bytes], *, first: bool) -> bytes:
    parts: list[bytes] = []
    at = 0
    for start, end, new in sorted(edits):
        parts += (body[at:start], new)
        at = end
    if added:
        close = body.rindex(b"}")
        parts += (body[at:close], b"" if first else b",", b",".join(added))
        at = close
    parts.append(body[at:])
    return b"".join(parts)


def _rebuilt(values: Mapping[str, msgspec.Raw], changes: Mapping[str, Any]) -> bytes:
    """For bodies whose fields cannot be told apart by position (a key that repeats) or that lose one."""
    merged = {key: value for key, value in values.items() if key not in changes}
    merged |= {key: msgspec.Raw(dump(value)) for key, value in changes.items() if value is not None}
    return joined(merged)


def _spans(body: bytes, values: Mapping[str, msgspec.Raw]) -> dict[str, Span] | None:
    """Where each field stands; None when a key repeats, so that the slices do not lie in the body one after another."""
    opening = _OPEN.match(body)
    assert opening is not None  # it was decoded as an object
    at = opening.end()
    spans: dict[str, Span] = {}
    view = memoryview(body)
    for key, raw in values.items():
        match = _KEY.match(body, at)
        if match is None or load(match[1]) != key:
            return None
        start, end = match.end(), match.end() + len(memoryview(raw))
        if view[start:end] != memoryview(raw):
            return None
        spans[key] = (match.start(1), start, end)
        after = _NEXT.match(body, end)
        at = after.end() if after is not None else end
    return spans if body[at:].strip() == b"}" else None


def _why(body: bytes, error: Exception) -> str:
    start = body[:64].lstrip()
    if not start:
        return "the body is empty"
    if start[:1] in b'["0123456789-tfn' and isinstance(error, msgspec.ValidationError):
        return "the body must be a JSON object"
    return f"the body is not JSON: {error}"
