"""Objects that come in pieces, put together again: texts and lists grow, objects merge, anything else is replaced.

A text that comes in tens of thousands of pieces is kept as these until it is read, so that the work is linear in them.
"""

from __future__ import annotations

from typing import Any, Final

_SAID_AGAIN: Final = frozenset({"id", "type", "index", "object", "role", "format", "signature"})
"""Texts that name something: a provider that repeats one in each piece does not mean it to grow."""


class Pieces(list[str]):
    """A text on its way, in place of it."""


class Growing:
    """Adds pieces to objects. Some of the texts in these are `Pieces` until `settle` is called."""

    def __init__(self) -> None:
        self._texts: list[tuple[dict[str, Any], str]] = []

    def add(self, holder: dict[str, Any], key: str, more: str) -> None:
        """Let a text that is there grow."""
        known = holder[key]
        if known.__class__ is Pieces:
            known.append(more)
        else:
            holder[key] = Pieces((known, more))
            self._texts.append((holder, key))

    def merge(self, into: dict[str, Any], new: dict[str, Any], *, grow: bool = True) -> None:
        """Add a piece of an object to what is known of it; with `grow=False` its own texts are replaced."""
        for key, value in new.items():
            if value is None and key in into:
                continue
            known = into.get(key)
            if known is None:
                into[key] = value
            elif isinstance(value, str) and isinstance(known, str | Pieces) and grow and key not in _SAID_AGAIN:
                if value:
                    self.add(into, key, value)
            elif isinstance(value, dict) and isinstance(known, dict):
                self.merge(known, value)
            elif isinstance(value, list) and isinstance(known, list) and not isinstance(known, Pieces):
                self._extend(known, value)
            else:
                into[key] = value

    def _extend(self, known: list[Any], new: list[Any]) -> None:
        """Members with an index are pieces of the member with that index, which is mostly the last; others are new."""
        for item in new:
            index = item.get("index") if isinstance(item, dict) else None
            same = None
            if index is not None:
                same = next((k for k in reversed(known) if isinstance(k, dict) and k.get("index") == index), None)
            if same is None:
                known.append(item)
            else:
                self.merge(same, item)

    def settle(self) -> None:
        """Make texts of what has come of them."""
        for holder, key in self._texts:
            pieces = holder.get(key)
            if isinstance(pieces, Pieces):
                holder[key] = "".join(pieces)
        self._texts.clear()
