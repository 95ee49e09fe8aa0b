"""Writing settings into configuration files, and taking them out again. Nothing else in a file is touched.

A file is replaced at once or not at all. Writing again first takes out, in memory, what was written before, so that
nothing of an earlier connection stays.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drawbar.connecting.documents import MISSING, Document, document
from drawbar.connecting.ledger import Entry, Ledger, Put
from drawbar.connection import Setting
from drawbar.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Change:
    """One value of a file, before and after; `MISSING` where nothing stands."""

    path: tuple[str, ...]
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Edited:
    """What was done to a file."""

    file: Path
    changes: Sequence[Change]
    """None of them: it stood so already."""
    backup: Path | None = None
    """The file as it was before drawbar first wrote into it."""
    removed: bool = False
    """The file is gone: it held nothing but what drawbar had written."""
    left: Sequence[tuple[str, ...]] = ()
    """What was written once and was changed by somebody since: it stays."""


def write(ledger: Ledger, file: Path, settings: Sequence[Setting], *, agent: str, root: Path) -> Edited:
    """Put these settings into the file, in place of those that an earlier call put there.

    Raises:
        ConfigurationError: the file cannot be read, understood or written. It is as it was.
    """
    file = _real(file)
    now, entry = _read(file), ledger.entry(file)
    base, _ = (now, ()) if entry is None or now is None else _without(file, now, entry)
    doc = document(file, base or "")
    puts = [put for setting in settings if (put := _put(file, doc, setting)) is not None]
    paths = [put.path for put in puts] + ([put.path for put in entry.puts] if entry is not None else [])
    changes = _changes(document(file, now or ""), doc, paths)
    if not changes and now is not None:
        return Edited(file, (), Path(entry.backup) if entry is not None and entry.backup else None)
    folders = _missing_folders(file) or (entry.folders if entry is not None else ())
    backup = None if base is None else ledger.back_up(file, base)
    written = Entry(
        str(file), agent, str(root), str(backup) if backup is not None else None, doc.text, tuple(puts), folders
    )
    ledger.keep(written)  # first: what is written must be known, come what may
    try:
        _replace(file, doc.text)
    except ConfigurationError:
        ledger.keep(entry) if entry is not None else ledger.forget(written)
        raise
    return Edited(file, changes, backup)


def undo(ledger: Ledger, entry: Entry) -> Edited:
    """Take out what this entry says was put, unless somebody changed it since.

    Raises:
        ConfigurationError: as `write`.
    """
    file = Path(entry.file)
    now = _read(file)
    if now is None:
        ledger.forget(entry)
        return Edited(file, (), removed=True)
    base, left = _without(file, now, entry)
    after = document(file, base or "")
    changes = _changes(document(file, now), after, [put.path for put in entry.puts])
    if base is None:
        file.unlink()
        _remove_folders(entry.folders)
    elif base != now:
        _replace(file, base)
    ledger.forget(entry)
    return Edited(file, changes, removed=base is None, left=left)


def _put(file: Path, doc: Document, setting: Setting) -> Put | None:
    """Put one setting; None where what stands there is to stay."""
    before = doc.value(setting.path)
    had = before is not MISSING
    if setting.mode == "default" and had:
        return None
    value, added = setting.value, None
    if setting.mode == "add":
        there = before if isinstance(before, list) else []
        value, added = [*there, *([] if value in there else [value])], value
    try:
        doc.put(setting.path, value)
    except ValueError as error:
        raise ConfigurationError(f"{file} cannot be changed: {error}.") from error
    return Put(setting.path, value, had, before if had else None, added)


def _without(file: Path, now: str, entry: Entry) -> tuple[str | None, tuple[tuple[str, ...], ...]]:
    """The file's text without what was put; None where nothing is left. And what stays, for somebody changed it."""
    if now == entry.after:
        before = None if entry.backup is None else _read(Path(entry.backup))
        if entry.backup is None or before is not None:
            return before, ()
    doc, left = document(file, now), []
    for put in entry.puts:
        stands = doc.value(put.path)
        if put.added is not None and isinstance(stands, list) and put.added in stands:
            rest = [item for item in stands if item != put.added]
            doc.put(put.path, rest) if rest or put.had else doc.drop(put.path)
        elif stands == put.after:
            doc.put(put.path, put.before) if put.had else doc.drop(put.path)
        elif stands is not MISSING:
            left.append(put.path)
    empty = entry.backup is None and doc.text.split() in ([], ["{}"], ["{", "}"])
    return None if empty else doc.text, tuple(left)


def _changes(before: Document, after: Document, paths: Iterable[tuple[str, ...]]) -> list[Change]:
    found = [Change(path, before.value(path), after.value(path)) for path in dict.fromkeys(paths)]
    return [change for change in found if change.before != change.after]


def _real(file: Path) -> Path:
    """Where the file is: a link to it stays a link."""
    return file.expanduser().resolve()


def _read(file: Path) -> str | None:
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}.") from error


def _replace(file: Path, text: str) -> None:
    """Write a file anew, with the rights that it has; one that there was not is its owner's alone."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as new:
                new.write(text.encode())
                new.flush()
                os.fsync(new.fileno())
            if file.exists():
                os.chmod(name, file.stat().st_mode & 0o7777)
            os.replace(name, file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error}.") from error


def _missing_folders(file: Path) -> tuple[str, ...]:
    missing = [str(folder) for folder in file.parents if not folder.exists()]
    return tuple(reversed(missing))


def _remove_folders(folders: Sequence[str]) -> None:
    for folder in reversed(folders):
        try:
            Path(folder).rmdir()
        except OSError:
            return
