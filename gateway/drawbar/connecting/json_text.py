"""JSON as text, comments and trailing commas included: where each value stands, so that one can be changed alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

_BLANK: Final = re.compile(r"(?:[\s\ufeff]|//[^\n]*|/\*.*?\*/)*", re.S)
_STRING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_SCALAR: Final = re.compile(r"-?\d[\d.eE+-]*|true|false|null")


@dataclass(slots=True)
class Node:
    """A value and where it stands."""

    start: int
    end: int
    value: Any
    members: dict[str, Member] | None = None
    """Of an object."""
    inside: int = 0
    """Of an object: where what stands before its closing brace ends, comments included."""


@dataclass(slots=True)
class Member:
    """One member of an object."""

    start: int
    """Where its key begins."""
    node: Node
    comma: int | None = None
    """Where the comma after it stands."""


def parsed(text: str) -> Node:
    """The value of a whole text.

    Raises:
        ValueError: it is not JSON; the message says in which line.
    """
    reader = _Reader(text)
    try:
        node = reader.value(reader.blank(0))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if reader.blank(node.end) != len(text):
        raise reader.wrong(reader.blank(node.end))
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text

    def blank(self, at: int) -> int:
        """Where blanks and comments that begin here end."""
        found = _BLANK.match(self._text, at)
        assert found is not None
        return found.end()

    def wrong(self, at: int) -> ValueError:
        line = self._text.count("\n", 0, at) + 1
        return ValueError(f"line {line} is not JSON")

    def value(self, at: int) -> Node:
        match self._text[at : at + 1]:
            case "{":
                return self._object(at)
            case "[":
                return self._list(at)
            case '"':
                return self._scalar(_STRING, at)
            case _:
                return self._scalar(_SCALAR, at)

    def _scalar(self, pattern: re.Pattern[str], at: int) -> Node:
        found = pattern.match(self._text, at)
        if found is None:
            raise self.wrong(at)
        try:
            return Node(at, found.end(), json.loads(found[0], strict=False))
        except ValueError:
            raise self.wrong(at) from None

    def _object(self, start: int) -> Node:
        members: dict[str, Member] = {}
        at = self.blank(start + 1)
        while self._text[at : at + 1] != "}":
            key = self.value(at)
            colon = self.blank(key.end)
            if not isinstance(key.value, str) or self._text[colon : colon + 1] != ":":
                raise self.wrong(at)
            members[key.value] = member = Member(at, self.value(self.blank(colon + 1)))
            member.comma, at = self._after(member.node.end, "}")
        values = {name: member.node.value for name, member in members.items()}
        return Node(start, at + 1, values, members, _trimmed(self._text, start + 1, at))

    def _list(self, start: int) -> Node:
        values: list[Any] = []
        at = self.blank(start + 1)
        while self._text[at : at + 1] != "]":
            item = self.value(at)
            values.append(item.value)
            _, at = self._after(item.end, "]")
        return Node(start, at + 1, values)

    def _after(self, end: int, closing: str) -> tuple[int | None, int]:
        """Where the comma after a value stands, if there is one, and where the next thing begins."""
        at = self.blank(end)
        if self._text[at : at + 1] == ",":
            return at, self.blank(at + 1)
        if self._text[at : at + 1] != closing:
            raise self.wrong(at)
        return None, at


def _trimmed(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1].isspace():
        end -= 1
    return end
