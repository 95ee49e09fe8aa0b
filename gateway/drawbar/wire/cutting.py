"""Parts taken out of a JSON text, wherever they stand in it, while every other value keeps its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import orjson

from drawbar.wire.fields import fields, items, patched, without

EACH: Final = "*"
"""In a path: every member of a list."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One part to take out."""

    path: tuple[str, ...]
    """Names of fields, from the outside in."""
    instead: bytes | None = None
    """The JSON text that takes its place; None: the field goes, and an object that it leaves empty goes with it."""

    def __call__(self, text: bytes) -> bytes:
        """The text without the part; the same object where it has none. Raises `BadBody`."""
        is_there = self.path[-1].encode() in text
        return _cut(text, self.path, self.instead) if is_there else text


def _cut(text: bytes, path: Sequence[str], instead: bytes | None) -> bytes:
    name, *rest = path
    if name == EACH:
        return _each(text, rest, instead)
    if not text.lstrip().startswith(b"{"):
        return text
    values = fields(text)
    raw = values.get(name)
    if raw is None:
        return text
    if not rest:
        return _instead(text, name, raw, instead)
    old = bytes(raw)
    new = _cut(old, rest, instead)
    if new is old:
        return text
    is_empty = instead is None and new.startswith(b"{") and not fields(new)
    return without(text, name) if is_empty else patched(text, {name: orjson.Fragment(new)})


def _each(text: bytes, path: Sequence[str], instead: bytes | None) -> bytes:
    if not text.startswith(b"["):
        return text
    old = items(text, "a list")
    new = [_cut(member, path, instead) for member in old]
    return text if all(a is b for a, b in zip(old, new, strict=True)) else b"[" + b",".join(new) + b"]"


def _instead(text: bytes, name: str, raw: msgspec.Raw, instead: bytes | None) -> bytes:
    """What is null already says nothing, and stays so."""
    if instead is None:
        return without(text, name)
    return text if bytes(raw) in (b"null", instead) else patched(text, {name: orjson.Fragment(instead)})
