"""Configuration files as documents in which one value can be read, put or dropped while all else stays as it stands.

Each format is a class with the same three methods, made of the file's text. A path is the keys that lead to a value.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Any, Final, Protocol

from drawbar.connecting.json_text import Member, Node, parsed
from drawbar.errors import ConfigurationError

MISSING: Final = object()
"""What stands where nothing stands."""


class Document(Protocol):
    """A file's text and what can be done with it.

    Raises (made of a text that is not in its format):
        ValueError: saying where.
    """

    @property
    def text(self) -> str: ...

    def value(self, path: tuple[str, ...], /) -> Any:
        """What stands there, or `MISSING`."""

    def put(self, path: tuple[str, ...], value: Any, /) -> None:
        """Raises `ValueError` where the path leads through something that has no keys."""

    def drop(self, path: tuple[str, ...], /) -> None:
        """Take it out, and what holds nothing else."""


def document(file: PurePath, text: str) -> Document:
    """The text of this file as its name says that it is written.

    Raises:
        ConfigurationError: it is not; nothing can be changed in it.
    """
    try:
        if file.suffix == ".toml":
            from drawbar.connecting.toml_document import TomlDocument

            return TomlDocument(text)
        return EnvDocument(text) if file.name == ".env" else JsonDocument(text)
    except ValueError as error:
        raise ConfigurationError(f"{file} cannot be changed: {error}. Mend it, then try again.") from error


class JsonDocument:
    """JSON, with comments and trailing commas where there are any."""

    def __init__(self, text: str) -> None:
        self.text = text if text.strip("\ufeff \t\r\n") else "{}\n"
        self._root = parsed(self.text)
        if self._root.members is None:
            raise ValueError("it holds no JSON object")
        self._line_end = "\r\n" if "\r\n" in text else "\n"

    def value(self, path: tuple[str, ...], /) -> Any:
        node = self._root
        for key in path:
            if key not in (node.members or {}):
                return MISSING
            node = (node.members or {})[key].node
        return node.value

    def put(self, path: tuple[str, ...], value: Any, /) -> None:
        node = self._root
        for depth, key in enumerate(path):
            if node.members is None:
                raise ValueError(f"{'.'.join(path[:depth])} is no object there")
            if key not in node.members:
                self._insert(node, key, _nested(path[depth + 1 :], value))
                return
            node = node.members[key].node
        self._replace(node.start, node.end, self._written(value, self._indent(node.start)))

    def drop(self, path: tuple[str, ...], /) -> None:
        if self.value(path) is MISSING:
            return
        chain = [self._root]
        for key in path:
            chain.append((chain[-1].members or {})[key].node)
        depth = len(path) - 1
        while depth and len(chain[depth].members or {}) == 1:
            depth -= 1
        self._cut(chain[depth], path[depth])

    def _insert(self, node: Node, key: str, value: Any) -> None:
        members = node.members or {}
        last = max(members.values(), key=lambda member: member.start, default=None)
        lead = json.dumps(key, ensure_ascii=False) + ": "
        if last is not None and "\n" not in self.text[node.start : node.end]:
            text = f" {lead}{json.dumps(value, ensure_ascii=False)}"
        else:
            outer = self._indent(node.start)
            inner = outer + "  " if last is None else self._indent(last.start)
            text = self._line_end + inner + lead + self._written(value, inner)
            if "\n" not in self.text[node.inside : node.end]:
                text += self._line_end + outer
        self.text = self.text[: node.inside] + text + self.text[node.inside :]
        if last is not None and last.comma is None:
            self.text = self.text[: last.node.end] + "," + self.text[last.node.end :]
        self._root = parsed(self.text)

    def _cut(self, node: Node, key: str) -> None:
        members = sorted((node.members or {}).values(), key=lambda member: member.start)
        member = (node.members or {})[key]
        at = members.index(member)
        before = members[at - 1] if at else None
        end = member.node.end if member.comma is None else member.comma + 1
        start = self._line_start(member)
        if self.text[end:].partition("\n")[0].strip():
            start = member.start  # what follows in this line must not fall into a comment of the line before
        if member is members[-1] and before is not None and before.comma is not None and member.comma is None:
            between = self.text[before.comma + 1 : start]
            start, rest = before.comma, between if between.strip() else ""
            self._replace(start, end, rest)
            return
        if start == member.start and before is None:
            end += len(self.text[end:]) - len(self.text[end:].lstrip(" "))
        self._replace(start, end, "")

    def _line_start(self, member: Member) -> int:
        """Where the blanks before it begin, its line's end included."""
        start = member.start
        while start and self.text[start - 1] in " \t":
            start -= 1
        if start and self.text[start - 1] == "\n":
            return start - 2 if self.text[start - 2 : start] == "\r\n" else start - 1
        return member.start

    def _replace(self, start: int, end: int, text: str) -> None:
        self.text = self.text[:start] + text + self.text[end:]
        self._root = parsed(self.text)

    def _indent(self, at: int) -> str:
        """Of the line in which this stands."""
        line = self.text[self.text.rfind("\n", 0, at) + 1 : at].lstrip("\ufeff")
        return line[: len(line) - len(line.lstrip())]

    def _written(self, value: Any, indent: str) -> str:
        text = json.dumps(value, ensure_ascii=False, indent="\t" if indent.startswith("\t") else 2)
        return text.replace("\n", self._line_end + indent)


def _nested(path: tuple[str, ...], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


class EnvDocument:
    """`NAME=value` lines, as shells and dotenv read them. A path is one name."""

    def __init__(self, text: str) -> None:
        self.text = text

    def value(self, path: tuple[str, ...], /) -> Any:
        found = [line[2] for line in self._lines(path)]
        return _unquoted(found[-1]) if found else MISSING

    def put(self, path: tuple[str, ...], value: Any, /) -> None:
        line = f"{path[0]}={_quoted(str(value))}"
        found = self._lines(path)
        if found:
            self.text = self.text[: found[-1].start()] + line + self.text[found[-1].end() :]
        else:
            self.text += ("" if not self.text or self.text.endswith("\n") else "\n") + line + "\n"

    def drop(self, path: tuple[str, ...], /) -> None:
        for found in reversed(self._lines(path)):
            self.text = self.text[: found.start()] + self.text[found.end() :].removeprefix("\r").removeprefix("\n")

    def _lines(self, path: tuple[str, ...]) -> list[re.Match[str]]:
        pattern = rf"^[ \t]*(export[ \t]+)?{re.escape(path[0])}[ \t]*=[ \t]*([^\r\n]*)"
        return list(re.finditer(pattern, self.text, re.M))


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[\w./:@%+,-]*", value) else json.dumps(value, ensure_ascii=False)


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text
