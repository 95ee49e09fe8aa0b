"""What a session's replies are called by their provider, for requests that go on from one of them by its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

MOST_REMEMBERED = 4_000


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, and what came before it."""

    node: bytes
    depth: int
    opening: int = 0
    """How many messages at the root of its conversation are instructions that each request says anew."""
    instructions: bytes | None = None
    """The digest of the instructions that it was given under; None: not known."""


class Replies:
    """One session's replies by name."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, Reply] = {}

    def note(self, names: Iterable[str], reply: Reply) -> None:
        """A name is given again to a conversation's newest reply. The oldest are forgotten in the end."""
        if len(self._by_name) >= MOST_REMEMBERED:
            self._by_name = dict(islice(self._by_name.items(), MOST_REMEMBERED // 2, None))
        for name in names:
            self._by_name[name] = reply

    def find(self, name: str | None) -> Reply | None:
        return self._by_name.get(name) if name is not None else None
