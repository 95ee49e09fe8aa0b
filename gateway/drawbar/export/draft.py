"""A file that has its name only once it is whole: written under another one, made durable, then renamed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from drawbar.export.manifest import Written
from drawbar.ids import new_id


class Draft:
    """A file under way. As a context it is thrown away at the end, unless it was published. Raises `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._part = path.with_name(f".{path.name}.{new_id('part')}")
        self._file = self._part.open("xb")
        self._digest = hashlib.sha256()
        self._published = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._published:
            self._throw_away()

    def write(self, data: bytes) -> int:
        """Append these bytes."""
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Compressors ask for it; only `finish` brings anything to the disk."""

    @property
    def sha256(self) -> str:
        """Of what was written so far, in hexadecimal."""
        return self._digest.hexdigest()

    def finish(self) -> None:
        """Nothing more comes: bring it to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def written(self, rows: int) -> list[Written]:
        """What a manifest says of it."""
        return [Written(self.path, rows, self.size, self.sha256)]

    def publish(self) -> None:
        """Give it its name, in the place of any other file that had it."""
        os.replace(self._part, self.path)
        self._published = True
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _throw_away(self) -> None:
        try:
            self._file.close()  # what a full disk did not take is tried once more
        except OSError:
            pass
        self._part.unlink(missing_ok=True)
