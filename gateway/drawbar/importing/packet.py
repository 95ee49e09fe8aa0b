"""What a file's reader hands on: the rows of one session, or why there are none. Knows no format and no store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from drawbar.importing.opening import Source
from drawbar.record.archive import Archived


@dataclass(frozen=True, slots=True)
class Packet:
    """One session."""

    place: str
    """Where in its file it stands: `line 3`."""
    archived: Archived
    by_content: bool
    """Whether its id is made of its content: a session of the same id is then the same."""
    losses: Sequence[tuple[str, int]] = ()
    """What of it the store has no place for, and how many times."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A place that cannot be read."""

    place: str
    why: str


Item: TypeAlias = Packet | Damage


class Format(Protocol):
    """One kind of file. A module beside this one is one."""

    def recognises(self, source: Source) -> bool:
        """Whether the file is of this kind, as far as its beginning tells."""

    def read(self, source: Source) -> Iterator[Item]:
        """Its sessions, in order. What is damaged is told, and what follows it is read."""
