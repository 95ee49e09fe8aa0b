"""Which arguments of a tool call count, and how they are compared. Pure; knows patterns and JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from drawbar.record.arguments import exact

_Pattern: TypeAlias = tuple[str, ...]


class Counting:
    """Leaves out of arguments what is ignored. `patterns` as `Cassette.ignore` documents them.

    A pattern names a path: keys and positions in lists, with dots between them. `*` in one of them stands for any
    part of it, and `**` for any number of them.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns: list[tuple[str, _Pattern]] = []
        for pattern in patterns:
            tool, colon, path = pattern.rpartition(":")
            self._patterns.append((tool if colon else "*", tuple(path.split("."))))

    def what_counts(self, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments without what is ignored."""
        paths = [path for name, path in self._patterns if fnmatchcase(tool, name)]
        if not paths:
            return arguments
        kept: Mapping[str, Any] = _without(arguments, paths)
        return kept

    def key(self, tool: str, arguments: Mapping[str, Any]) -> bytes:
        """The same for calls that ask for the same: numbers compare as numbers, keys stand in any order."""
        return exact(self.what_counts(tool, arguments) if self._patterns else arguments)


def _without(value: Any, paths: Sequence[_Pattern]) -> Any:
    if isinstance(value, Mapping):
        pairs = [(key, item, _below(str(key), paths)) for key, item in value.items()]
        return {key: _without(item, below) for key, item, below in pairs if () not in below}
    if isinstance(value, list):
        items = [(item, _below(str(position), paths)) for position, item in enumerate(value)]
        return [_without(item, below) for item, below in items if () not in below]
    return value


def _below(part: str, paths: Sequence[_Pattern]) -> list[_Pattern]:
    """What the paths say of what stands below this part; an empty path: that it is meant itself."""
    found: list[_Pattern] = []
    for path in paths:
        if path == ("**",):
            found.append(())
        elif path[:1] == ("**",):
            found += [path, *_below(part, [path[1:]])]
        elif path and fnmatchcase(part, path[0]):
            found.append(path[1:])
    return found
