"""Where recorded calls wait until it is known which sessions become tasks: on disk, so that many sessions fit in
memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

import msgspec

from drawbar.tools.cassettes.format import Recording, to_line

_DECODER = msgspec.json.Decoder(Recording)


@dataclass(frozen=True, slots=True)
class Spooled:
    """The calls of one session; read anew each time that they are gone through."""

    spool: Spool
    offset: int
    size: int

    def __iter__(self) -> Iterator[Recording]:
        for line in self.spool.read(self.offset, self.size).splitlines():
            yield _DECODER.decode(line)


class Spool:
    """A file without a name, in a folder that has room. Its size is that of the recorded calls."""

    def __init__(self, folder: Path | None = None) -> None:
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the spool
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, recordings: Iterable[Recording]) -> Spooled:
        """Keep the calls of one session. Raises `OSError`."""
        body = b"".join(map(to_line, recordings))
        self._file.seek(self._end)
        self._file.write(body)
        kept = Spooled(self, self._end, len(body))
        self._end += len(body)
        return kept

    def read(self, offset: int, size: int) -> bytes:
        """What lies there."""
        self._file.seek(offset)
        return self._file.read(size)
