"""What a user writes to let recorded answers stand in for a tool server. Knows no file and no server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from drawbar.errors import ConfigurationError, nearest

Mode: TypeAlias = Literal["strict", "fifo", "by-arguments", "nearest", "fall-through"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class Cassette:
    """Recorded tool calls that answer in place of a server.

    Raises:
        ConfigurationError: a value that means nothing.
    """

    path: str | Path
    """A file that `drawbar run --record-cassette` or `drawbar cassette record` wrote."""
    mode: Mode = "by-arguments"
    """
    - `strict`: the calls of one recorded session, in their order and with their arguments. Calls that were under way
      at the same time have no order among themselves.
    - `fifo`: the answers of one recorded session, for each tool in their order, whatever the arguments.
    - `by-arguments`: the same tool with the same arguments. Several recordings answer in order, then the last again.
    - `nearest`: as `by-arguments`; where nothing has the same arguments, the closest ones, above `threshold`.
    - `fall-through`: as `by-arguments`; what is missing is asked of the live server, if the tool is read-only, and
      written into a new generation of the cassette.
    """
    ignore: Sequence[str] = ()
    """Arguments that do not count, by path: `request_id`, `items.*.id`, `**.timestamp`; `tool:path` for one tool."""
    read_only: Sequence[str] = ()
    """Tools (patterns) that only read, beside those whose server says so (`readOnlyHint`). All others write."""
    threshold: float = 0.8
    """For `nearest`: how much of the arguments must agree, from 0 to 1."""
    max_misses: int = 0
    """A rollout in which more calls than this had no answer is invalid."""

    def __post_init__(self) -> None:
        for name in ("ignore", "read_only"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise ConfigurationError(f"A cassette's `{name}` is a list, not {given!r}.")
            object.__setattr__(self, name, tuple(given))
        if self.mode not in MODES:
            raise ConfigurationError(f"A cassette has no mode {self.mode!r}.{nearest(str(self.mode), MODES)}")
        if not 0 <= self.threshold <= 1:
            raise ConfigurationError(f"A cassette's threshold is a number from 0 to 1, not {self.threshold!r}.")
        if self.max_misses < 0:
            raise ConfigurationError(f"A cassette's max_misses is 0 or more, not {self.max_misses!r}.")
        if not all(pattern.strip() for pattern in self.ignore):
            raise ConfigurationError("A cassette's `ignore` holds an empty path.")


class CassetteTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same as a table in a file."""

    path: str
    """From the file's folder."""
    mode: Mode = "by-arguments"
    ignore: list[str] = []
    read_only: list[str] = []
    threshold: float = 0.8
    max_misses: int = 0

    def cassette(self, folder: Path) -> Cassette:
        """Raises `ConfigurationError`: a value that means nothing."""
        return Cassette(**{**msgspec.structs.asdict(self), "path": folder / self.path})


def as_cassette(given: Cassette | str | Path | None) -> Cassette | None:
    """What was given, a path alone with everything else as it is by default."""
    return Cassette(given) if isinstance(given, str | Path) else given
