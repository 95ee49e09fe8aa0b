"""Names of tools: under which name a harness shows its model the tool that a server knows by another.

A harness puts its own name for a server before a tool's (`mcp__wiki__search`, `wiki-search`), and writes what its
provider would not take in other letters. No harness is known here: a name is taken for a tool's when it ends in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

_SEPARATORS: Final = "_-./:"
_FOLDED: Final = re.compile(r"[^0-9a-z]+")
_LONG: Final = 60
"""Providers take names of 64 characters at most; harnesses cut longer ones in their middle."""
_TAIL: Final = 24
"""Characters by which the end of such a name is known."""


def is_called(used: str, name: str) -> bool:
    """Whether a tool's name, as a model used it, is this one, a harness' prefix aside."""
    return used == name or (used.endswith(name) and used[-len(name) - 1 : -len(name)] in _SEPARATORS and bool(name))


class Names:
    """The tools that a session called, by the names that its model used. Each used name means one tool at most."""

    def __init__(self, called: Iterable[str]) -> None:
        self._called = sorted({name for name in called if name}, key=lambda name: (-len(name), name))
        self._known = frozenset(self._called)
        self._found: dict[str, str | None] = {}

    def tool(self, used: str) -> str | None:
        """The tool that is meant: the one of this name, else the longest in which it ends. None: none of ours."""
        if used not in self._found:
            self._found[used] = used if used in self._known else self._ending(used)
        return self._found[used]

    def _ending(self, used: str) -> str | None:
        folded = _fold(used)
        for fits in (is_called, _is_folded, _is_cut):
            found = next((name for name in self._called if fits(used if fits is is_called else folded, name)), None)
            if found is not None:
                return found
        return None

    def ranked(self, used: Iterable[str]) -> dict[str, list[str]]:
        """For each tool the names that may mean it, the likeliest first: its own, then by how many share its prefix.

        A harness' own `web_search` ends like a server's `search`; but the harness shows all tools of a server under
        one prefix.
        """
        pairs = [(name, tool) for name in dict.fromkeys(used) if (tool := self.tool(name)) is not None]
        shared = Counter(prefix(name, tool) for name, tool in pairs)
        found: dict[str, list[str]] = {}
        for name, tool in sorted(pairs, key=lambda pair: (pair[0] != pair[1], -shared[prefix(*pair)])):
            found.setdefault(tool, []).append(name)
        return found


def prefix(used: str, tool: str) -> str:
    """What stands before a tool's name in the one that was used."""
    return used[: max(0, len(used) - len(tool))]


def _is_folded(folded: str, name: str) -> bool:
    return is_called(folded, _fold(name))


def _is_cut(folded: str, name: str) -> bool:
    return len(folded) >= _LONG and len(name) >= _TAIL and folded.endswith(_fold(name)[-_TAIL:])


def _fold(name: str) -> str:
    return _FOLDED.sub("_", name.lower())
