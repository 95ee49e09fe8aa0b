"""A file for rows that the store cannot take now: appended in order, read again in order, then emptied.

It is to lie on another disk than the store. Rows have passed redaction before they come here. A record is its length
(4 bytes) and the row's kind and fields as MessagePack; one that a crash has cut is the last, and is left out.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from drawbar.errors import ConfigurationError
from drawbar.record.rows import Row
from drawbar.record.schema import TABLES

_log = logging.getLogger(__name__)

_KINDS: Final = {kind.__name__: kind for kind in TABLES}
_BATCH: Final = 2_000
"""Rows that are read at a time."""
_LONGEST: Final = 2**32 - 1


class Spool:
    """One file, of one gateway. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigurationError` where there can be no such file."""
        self._path = path
        try:
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise ConfigurationError(f"The spool {path} is another gateway's; each needs one of its own.") from error
        except OSError as error:
            raise ConfigurationError(f"The spool {path} cannot be opened: {error.strerror}.") from error
        self._begin = 0
        self._end = os.fstat(self._file.fileno()).st_size
        self.usable = True
        """Whether it took what it was given the last time."""

    @property
    def empty(self) -> bool:
        return self._begin == self._end

    @property
    def size(self) -> int:
        """Bytes that wait in it."""
        return self._end - self._begin

    def add(self, rows: Sequence[Row]) -> bool:
        """Take rows, durably; False where it cannot, and has taken none of them."""
        data = b"".join(map(_record, rows))
        try:
            self._write(data)
            os.fsync(self._file.fileno())
        except OSError as error:
            if self.usable:
                _log.error("The spool %s cannot be written either: %s", self._path, error.strerror)
            self.usable = False
            return False
        self._end += len(data)
        self.usable = True
        return True

    def _write(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            at += os.pwrite(self._file.fileno(), data[at:], self._end + at)

    def batches(self) -> Iterator[list[Row]]:
        """What waits in it, the oldest first. A batch is done with when the next one is asked for."""
        while not self.empty:
            rows, at = self._read()
            if rows:
                yield rows
            self._begin = at
        if self._end:
            self._file.truncate(0)
            self._begin = self._end = 0

    def _read(self) -> tuple[list[Row], int]:
        rows: list[Row] = []
        at = self._begin
        self._file.seek(at)
        with open(self._file.fileno(), "rb", closefd=False) as reader:
            while len(rows) < _BATCH and at < self._end:
                length = int.from_bytes(reader.read(4), "big")
                body = reader.read(length)
                if not length or len(body) < length:
                    return rows, self._end
                at += 4 + length
                rows.append(_row(body))
        return rows, at

    def close(self) -> None:
        """Let go of the file; an empty one is removed."""
        if self.empty:
            self._path.unlink(missing_ok=True)
        self._file.close()


def _record(row: Row) -> bytes:
    body = msgspec.msgpack.encode((type(row).__name__, row))
    if len(body) > _LONGEST:
        raise ValueError("A row is too large.")
    return len(body).to_bytes(4, "big") + body


def _row(body: bytes) -> Row:
    name, fields = msgspec.msgpack.decode(body, type=tuple[str, msgspec.Raw])
    row: Row = msgspec.msgpack.decode(fields, type=_KINDS[name])
    return row
