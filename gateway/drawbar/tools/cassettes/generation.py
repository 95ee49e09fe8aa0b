"""The next generation of a cassette: a copy of it beside it, to which answers of the live server are added."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import orjson

from drawbar.errors import ToolServerError
from drawbar.record.redaction import Redact
from drawbar.tools.cassettes.format import Header, Recording, new_header, to_line
from drawbar.tools.cassettes.recording import redacted


class NextGeneration:
    """Made with the first answer that goes into it. The cassette that it begins with stays as it is."""

    def __init__(self, parent: Path, header: Header, redact: Redact | None) -> None:
        self.path: Path | None = None
        self._parent = parent
        self._header = header
        self._redact = redact
        self._lock = threading.Lock()

    def add(self, recording: Recording) -> None:
        """Write an answer down. Raises `ToolServerError`: it must not be relied on if it is not kept."""
        try:
            kept = recording if self._redact is None else redacted(recording, self._redact)
            with self._lock:
                if self.path is None:
                    self.path = self._copied()
                with self.path.open("ab") as file:
                    file.write(to_line(kept))
        except Exception as error:
            why = error.strerror if isinstance(error, OSError) else f"the redaction hook raised {type(error).__name__}"
            raise ToolServerError(f"No new generation of {self._parent} can be written: {why}.") from error

    def _copied(self) -> Path:
        """A copy under the next free name, with a header of its own. Lines are kept as they are."""
        number = self._header.generation
        stem = re.sub(r"\.g\d+$", "", self._parent.stem)
        while True:
            number += 1
            path = self._parent.with_name(f"{stem}.g{number}{self._parent.suffix}")
            try:
                file = path.open("xb")
            except FileExistsError:
                continue
            with file, self._parent.open("rb") as old:
                old.readline()
                file.write(self._new_header(number) + b"\n")
                while chunk := old.read(1 << 20):
                    file.write(chunk)
                if file.tell() and not _ends_a_line(self._parent):
                    file.write(b"\n")
            return path

    def _new_header(self, number: int) -> bytes:
        old = self._header
        parent = {"path": self._parent.name, "generation": old.generation}
        new = new_header(old.servers, old.environment, {**old.more, "parent": parent})
        return orjson.dumps({**orjson.loads(new.to_json()), "generation": number})


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
