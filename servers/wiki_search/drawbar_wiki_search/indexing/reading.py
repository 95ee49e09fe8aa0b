"""What has been read of a source so far, and its files: shared by the readers, the progress display and the summary."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from drawbar.errors import ConfigurationError

_BUFFER = 1 << 18
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""What the decompressors raise for a damaged file, besides a plain OSError without a number."""


@dataclass(slots=True)
class Reading:
    """Counts that grow while a source is read."""

    total_bytes: int
    """Of all files, as they lie on the disk."""
    finished_bytes: int = 0
    """Of the files that are done, and of the current one so far."""
    pages: int = 0
    redirects: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Entries left out, by reason."""
    rough: Counter[str] = field(default_factory=Counter)
    """Pages that were kept with a rough reading of their markup, by reason."""


class CountedFile(io.FileIO):
    """A file that knows how much of it was read, also where it cannot be asked for its position (a pipe)."""

    count = 0

    def readinto(self, buffer: Any) -> int | None:
        """As any raw file does."""
        read = super().readinto(buffer)
        self.count += read or 0
        return read


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], CountedFile]]:
    """The content of a file, decompressed by its suffix, and the file itself for its count.

    Raises:
        ConfigurationError: the file cannot be opened.
    """
    try:
        raw = CountedFile(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    with io.BufferedReader(raw, _BUFFER) as packed:
        match path.suffix.lower():
            case ".bz2":
                yield cast(IO[bytes], io.BufferedReader(bz2.BZ2File(packed), _BUFFER)), raw
            case ".gz":
                yield cast(IO[bytes], io.BufferedReader(gzip.GzipFile(fileobj=packed), _BUFFER)), raw
            case _:
                yield packed, raw


def is_damage(error: BaseException) -> bool:
    """Whether an exception says that compressed data is damaged (a failing disk has an errno and is another matter)."""
    return isinstance(error, DAMAGE) or (isinstance(error, OSError) and error.errno is None)


def library(name: str) -> Any:
    """An optional library.

    Raises:
        ConfigurationError: it is not installed; says how to.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        raise ConfigurationError(
            f"{package} is needed to read this and is not installed: pip install {package}"
        ) from error
