"""A folder that has its name only once it is whole, and rows as files in it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from drawbar.export.format import InFiles, Row
from drawbar.export.manifest import Written
from drawbar.ids import new_id


class FolderDraft:
    """A folder under way. As a context it is thrown away at the end, unless it was published. Raises `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.{new_id('part')}")
        self._part.mkdir()
        self._files: dict[str, Written] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self._part, ignore_errors=True)

    def add(self, name: str, content: bytes, *, rows: int) -> None:
        """A file in the folder; the same again changes nothing."""
        if name in self._files:
            return
        file = self._part / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        self._files[name] = Written(self.path / name, rows, len(content), digest, f"{self.path.name}/{name}")

    def finish(self) -> None:
        """Nothing more comes: bring it to the disk, all files at once."""
        os.sync()

    def written(self, rows: int) -> list[Written]:
        """Its files."""
        return list(self._files.values())

    def publish(self) -> None:
        """Give it its name, in the place of any other folder or file that had it."""
        old = self.path.with_name(f".{self.path.name}.{new_id('old')}")
        if self.path.exists():
            os.rename(self.path, old)
        os.rename(self._part, self.path)
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)


class Files:
    """Rows as files of a folder."""

    def __init__(self, draft: FolderDraft, format: InFiles) -> None:
        self._draft = draft
        self._format = format

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            for number, (name, content) in enumerate(self._format.files(row)):
                self._draft.add(name, content, rows=0 if number else 1)

    def finish(self) -> None:
        """There is nothing to close."""
