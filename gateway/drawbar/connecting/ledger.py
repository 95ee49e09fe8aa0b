"""What was written into whose files, so that it can be taken out again: one entry a file, in the user's state folder.

An entry says which values were put and what stood there before; beside it lies the file as it was (its backup).
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Put:
    """One value that was put into a file."""

    path: tuple[str, ...]
    after: Any
    had: bool
    """Whether something stood there before."""
    before: Any = None
    added: Any = None
    """What was added to a list that may have grown since."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that was changed for an agent."""

    file: str
    agent: str
    root: str
    """The project or the home for which it was."""
    backup: str | None
    """The file as it was; None: there was none."""
    after: str
    """The file's text as it was written."""
    puts: tuple[Put, ...]
    folders: tuple[str, ...] = ()
    """Those that were made for it, the outermost first."""


class Ledger:
    """The entries of one user."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or _state_home() / "drawbar" / "connect"

    def entry(self, file: Path) -> Entry | None:
        return self._read(self._place(file))

    def entries(self, agent: str) -> list[Entry]:
        """All of one agent."""
        found = [self._read(place) for place in sorted(self.folder.glob("*.json"))]
        return [entry for entry in found if entry is not None and entry.agent == agent]

    def back_up(self, file: Path, text: str) -> Path:
        """Keep this text as what the file was."""
        place = self._place(file)
        backup = place.with_name(f"{place.stem}-{file.name}")
        self._write(backup, text)
        return backup

    def keep(self, entry: Entry) -> None:
        self._write(self._place(Path(entry.file)), json.dumps(asdict(entry), ensure_ascii=False, indent=1))

    def forget(self, entry: Entry) -> None:
        """The entry, and the backup with it."""
        self._place(Path(entry.file)).unlink(missing_ok=True)
        if entry.backup is not None:
            Path(entry.backup).unlink(missing_ok=True)

    def _place(self, file: Path) -> Path:
        return self.folder / f"{hashlib.blake2b(str(file).encode(), digest_size=8).hexdigest()}.json"

    def _write(self, place: Path, text: str) -> None:
        """For the user's eyes alone: configuration may hold keys."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.unlink(missing_ok=True)
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode())

    def _read(self, place: Path) -> Entry | None:
        try:
            given = json.loads(place.read_bytes())
            puts = tuple(Put(**{**put, "path": tuple(put["path"])}) for put in given.pop("puts"))
            return Entry(**{**given, "puts": puts, "folders": tuple(given["folders"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None


def _state_home() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
