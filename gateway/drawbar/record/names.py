"""Names of tools: under which name a harness shows its model the tool that a server knows by another.

A harness puts its own name for a server before a tool's (`mcp__wiki__search`, `wiki-search`), and writes what its
provider would not take in other letters. No harness is known here: a name is taken for a tool's when it ends in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
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
    """The tools that a session called, by the names that its model used. Each used name means one tool at most.

    A harness shows all tools of a server under one prefix. So a name is taken for the tool that leaves the prefix
    which most names share, before the longest tool that it ends in: with `search` and `wiki_search` on a server,
    `wiki_search` is the first where `wiki_wiki_search` is there too.
    """

    def __init__(self, called: Iterable[str], used: Iterable[str]) -> None:
        self._called = sorted({name for name in called if name}, key=lambda name: (-len(name), name))
        self._used = list(dict.fromkeys(used))
        known = {name: self._meant(name) for name in self._used}
        self._shared = Counter(prefix(name, tool) for name, tools in known.items() for tool in tools)
        self._found = {name: self._likeliest(name, tools) for name, tools in known.items()}

    def may_mean(self, used: str) -> bool:
        """Whether a name may be one of the tools'."""
        return bool(self._meant(used))

    def tool(self, used: str) -> str | None:
        """The tool that is meant by a name; None: none of ours."""
        return self._found.get(used)

    def _meant(self, used: str) -> list[str]:
        """The tools that a name ends in, the longest first; else the one that it ends in written otherwise."""
        if found := [name for name in self._called if is_called(used, name)]:
            return found
        folded = _fold(used)
        near = (fits for fits in (_is_folded, _is_cut) if any(fits(folded, name) for name in self._called))
        return [next(name for name in self._called if fits(folded, name)) for fits in islice(near, 1)]

    def _likeliest(self, used: str, tools: Sequence[str]) -> str | None:
        return max(tools, key=lambda tool: self._shared[prefix(used, tool)], default=None)

    def ranked(self) -> dict[str, list[str]]:
        """For each tool the names that may mean it, the likeliest first: its own, then by how many share its prefix.

        A harness' own `web_search` ends like a server's `search`, but no other tool has its prefix.
        """
        pairs = [(name, tool) for name, tool in self._found.items() if tool is not None]
        found: dict[str, list[str]] = {}
        for name, tool in sorted(pairs, key=lambda pair: (pair[0] != pair[1], -self._shared[prefix(*pair)])):
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
