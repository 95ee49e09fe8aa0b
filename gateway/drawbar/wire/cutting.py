"""Parts taken out of a JSON text, wherever they stand in it, while every other value keeps its bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, Union

import msgspec

from drawbar.wire.fields import fields, items, joined

EACH: Final = "*"
"""In a path: every member of a list."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One part to take out."""

    path: tuple[str, ...]
    """Names of fields, from the outside in."""
    instead: bytes | None = None
    """The JSON text that takes its place, unless it is null already; None: the field goes, and an object that it leaves
    empty goes with it."""


_Tree: TypeAlias = Mapping[str, Union["_Tree", Cut]]


class Cuts:
    """Several parts, taken out in one go."""

    __slots__ = ("_marks", "_tree")

    def __init__(self, cuts: Iterable[Cut]) -> None:
        cuts = tuple(cuts)
        self._marks = tuple({cut.path[-1].encode() for cut in cuts})
        self._tree = _tree([(cut.path, cut) for cut in cuts])

    def __call__(self, text: bytes) -> bytes:
        """The text without the parts; the same object where it has none of them. Raises `BadBody`."""
        for mark in self._marks:
            if mark in text:
                return _cut(text, self._tree)
        return text


def _tree(cuts: list[tuple[tuple[str, ...], Cut]]) -> _Tree:
    """By the first name of the rest of each path."""
    found: dict[str, _Tree | Cut] = {}
    for name in dict.fromkeys(path[0] for path, _ in cuts):
        below = [(path[1:], cut) for path, cut in cuts if path[0] == name]
        found[name] = below[0][1] if not below[0][0] else _tree(below)
    return found


def _cut(text: bytes, tree: _Tree) -> bytes:
    if text[:1] == b"[":
        each = tree.get(EACH)
        return text if each is None or isinstance(each, Cut) else _each(text, each)
    if text.lstrip()[:1] != b"{":
        return text
    values = fields(text)
    is_changed = False
    for name, below in tree.items():
        raw = values.get(name)
        if raw is None:
            continue
        old = bytes(raw)
        new = _instead(old, below) if isinstance(below, Cut) else _cut(old, below)
        if new is old:
            continue
        is_changed = True
        if new is None or new == b"{}":
            del values[name]
        else:
            values[name] = msgspec.Raw(new)
    return joined(values) if is_changed else text


def _each(text: bytes, tree: _Tree) -> bytes:
    old = items(text, "a list")
    new = [_cut(member, tree) for member in old]
    return text if all(a is b for a, b in zip(old, new, strict=True)) else b"[" + b",".join(new) + b"]"


def _instead(old: bytes, cut: Cut) -> bytes | None:
    return old if cut.instead is not None and old in (b"null", cut.instead) else cut.instead
