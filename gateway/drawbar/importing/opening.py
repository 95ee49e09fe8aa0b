"""Files to import, plain or compressed: their lines, a whole JSON text, and how far they were read. Knows no format."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import zstandard

from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import load_whole

_BEGINNING: Final = 1 << 20
"""Bytes by which a file is known."""
_PEEKED: Final = 20
"""Lines by which a file is known: the first of them may be damaged."""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not empty."""

    number: int
    """From 1."""
    value: Any
    """Its JSON value; None where it cannot be read."""
    why: str | None = None
    """Why it cannot be read."""

    @property
    def place(self) -> str:
        return f"line {self.number}"


class Source:
    """One file. What it is compressed with is known by its first bytes, not by its name."""

    def __init__(self, path: Path, listen: Callable[[int], None] | None = None) -> None:
        """`listen` is told how many bytes of the file were read. Raises `OSError`."""
        self.path = path
        self.size = path.stat().st_size
        self.modified = path.stat().st_mtime
        self._listen = listen

    def heard(self, size: int) -> None:
        """Tell that so many bytes of the file were read."""
        if self._listen is not None:
            self._listen(size)

    def beginning(self) -> bytes:
        """Its first bytes, decompressed; as much as can be read of them."""
        with self.open() as stream:
            try:
                return stream.read(_BEGINNING)
            except (OSError, EOFError, zlib.error, zstandard.ZstdError):
                return b""

    def first_values(self) -> Iterator[Any]:
        """The JSON objects in its first lines; of a file that is one JSON text, that."""
        whole = True
        for line in self.lines(_PEEKED):
            if isinstance(line.value, dict):
                whole = False
                yield line.value
        if whole and self.beginning().lstrip()[:1] == b"{":
            try:
                yield self.whole()
            except ValueError:
                return

    def lines(self, most: int | None = None) -> Iterator[Line]:
        """Its lines. Where a compressed file is cut off or damaged, the last one says so."""
        number = 0
        with self.open() as stream:
            while most is None or number < most:
                number += 1
                try:
                    text = stream.readline()
                except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
                    yield Line(number, None, f"the file is damaged or cut off from here on ({error})")
                    return
                if not text:
                    return
                if text.strip():
                    yield _line(number, text)

    def whole(self) -> Any:
        """The JSON value of the whole file. Raises `ValueError`."""
        with self.open() as stream:
            try:
                return load_whole(stream.read())
            except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
                raise ValueError(f"the file is damaged or cut off ({error})") from error

    def open(self) -> IO[bytes]:
        """Its decompressed bytes. Raises `OSError`."""
        raw = self.path.open("rb")
        magic = raw.read(4)
        raw.seek(0)
        counted: Any = io.BufferedReader(_Counted(raw, self._listen), 1 << 16)
        if magic[:2] == _GZIP:
            return io.BufferedReader(gzip.GzipFile(fileobj=counted), 1 << 16)
        if magic == _ZSTD:
            return io.BufferedReader(_Whole(counted), 1 << 16)
        found: IO[bytes] = counted
        return found


def _line(number: int, text: bytes) -> Line:
    try:
        value = load_whole(text)
    except BadBody as error:
        ends = text.endswith(b"\n")
        return Line(number, None, f"{error}" if ends else f"it is cut off: {error}")
    return Line(number, value)


class _Counted(io.RawIOBase):
    """A file that tells how far it was read."""

    def __init__(self, raw: IO[bytes], listen: Callable[[int], None] | None) -> None:
        self._raw = raw
        self._listen = listen

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        if self._listen is not None:
            self._listen(self._raw.tell())
        return len(data)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Whole(io.RawIOBase):
    """A zstd file, of which the end is missed where it is cut off."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._inflate = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            data = self._raw.read1(1 << 14)  # type: ignore[attr-defined]
            if not data:
                if self._inside:
                    raise EOFError("the end is missing")
                return 0
            self._feed(data)
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def _feed(self, data: bytes) -> None:
        """One frame may follow another."""
        while data:
            if self._inflate.eof:
                self._inflate = zstandard.ZstdDecompressor().decompressobj()
            self._left += self._inflate.decompress(data)
            self._inside, data = not self._inflate.eof, self._inflate.unused_data

    def close(self) -> None:
        self._raw.close()
        super().close()
