"""A TOML file whose every error says file, line and key. It knows tables and types, not what they mean."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from drawbar.errors import ConfigurationError, UnknownName, nearest

T = TypeVar("T", bound=msgspec.Struct)
Keys = tuple[str, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_KEY})\s*\]\]?")
_ENTRY = re.compile(rf"\s*({_KEY})\s*=")


class TomlFile:
    """One file, read once.

    Raises:
        ConfigurationError: it cannot be read, or is not TOML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._text = path.read_text("utf-8")
            self.table: dict[str, Any] = tomllib.loads(self._text)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path}: not UTF-8 text (byte {error.start}).") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(self._not_toml(str(error))) from error

    def read(self, table: Any, kind: type[T], *keys: str) -> T:
        """The table at those keys as a struct.

        Raises:
            ConfigurationError: a key there is not, one that is missing, or a value of the wrong type.
        """
        if not isinstance(table, Mapping):
            raise self.error(f"it is a table, not {table!r}", *keys)
        known = [field.encode_name for field in msgspec.structs.fields(kind)]
        for key in table:
            if key not in known:
                raise self.error(f"there is no such key.{nearest(key, known)}", *keys, key)
        try:
            return msgspec.convert(table, kind)
        except msgspec.ValidationError as error:
            what, _, place = str(error).partition(" - at `$")
            below = re.findall(r"\.([A-Za-z_]\w*)", place)
            raise self.error(what[:1].lower() + what[1:], *keys, *below[:1]) from error

    @contextmanager
    def at(self, *keys: str) -> Iterator[None]:
        """What goes wrong inside with the value at those keys is told with file, line and key."""
        try:
            yield
        except (ConfigurationError, UnknownName) as error:
            if str(error).startswith(f"{self.path}, line"):
                raise
            raise self.error(str(error), *keys) from error

    def place(self, *keys: str) -> str:
        """Where the value at those keys stands."""
        return f"{self.path}, line {self._line_of(keys)}"

    def error(self, what: str, *keys: str) -> ConfigurationError:
        """An error about the value at those keys."""
        key = f", {'.'.join(keys)}" if keys else ""
        return ConfigurationError(f"{self.place(*keys)}{key}: {what}")

    def _line_of(self, keys: Keys) -> int:
        """Where those keys stand, or as much of them as stands anywhere (the rest is in an inline table, or
        missing)."""
        best, line = 0, 1
        for number, found in _key_lines(self._text):
            shared = len(keys) if found[: len(keys)] == keys else len(found) if keys[: len(found)] == found else 0
            if shared > best:
                best, line = shared, number
        return line

    def _not_toml(self, message: str) -> str:
        place = re.search(r"\s*\(at line (\d+), column (\d+)\)", message)
        if place is None:
            return f"{self.path}: not TOML: {message}"
        number = int(place[1])
        entry = _ENTRY.match([*self._text.splitlines(), ""][number - 1])
        key = f", {entry[1]}" if entry else ""
        return f"{self.path}, line {number}{key}, column {place[2]}: not TOML: {message.replace(place[0], '')}"


def _key_lines(text: str) -> Iterator[tuple[int, Keys]]:
    """Each header and entry of a TOML text with its line, from 1. Lines inside long strings are passed over."""
    table: Keys = ()
    inside: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if inside is None and (header := _HEADER.match(line)):
            table = _parts(header[1])
            yield number, table
        elif inside is None and (entry := _ENTRY.match(line)):
            yield number, table + _parts(entry[1])
        for quotes in re.findall(r'"""|' + "'''", line):
            inside = quotes if inside is None else None if inside == quotes else inside


def _parts(key: str) -> Keys:
    return tuple(part.strip("\"'") for part in re.findall(_PART, key))
