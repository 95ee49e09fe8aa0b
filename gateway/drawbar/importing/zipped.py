"""Members of a zip file. Python's own reader knows no zstd before 3.14, which writers of logs have come to use."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self
from zlib import crc32

import zstandard

_ZSTD: Final = 93
_HEADER: Final = struct.Struct("<26xHH")
"""The lengths of name and extra field, at the end of a member's own header."""


class Zipped:
    """A zip file, open for reading. As a context it is closed at the end."""

    def __init__(self, path: Path) -> None:
        """Raises `ValueError` where it is no zip file, or its end is missing; `OSError`."""
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path.name} is no whole zip file: its end may be missing ({error})") from error
        self._file = path.open("rb")
        self._members = {member.filename: member for member in self._zip.infolist()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self) -> Iterator[tuple[str, int]]:
        """The members' names, and where each begins."""
        return ((name, member.header_offset) for name, member in self._members.items())

    def read(self, name: str) -> bytes:
        """What is in a member. Raises `ValueError` where it is damaged; `KeyError`."""
        member = self._members[name]
        try:
            if member.compress_type != _ZSTD:
                return self._zip.read(name)
            self._file.seek(member.header_offset)
            before = _HEADER.unpack(self._file.read(_HEADER.size))
            self._file.seek(sum(before), 1)
            packed = self._file.read(member.compress_size)
            found = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        except (zipfile.BadZipFile, zstandard.ZstdError, struct.error, OSError, EOFError) as error:
            raise ValueError(f"{name} is damaged ({error})") from error
        if len(found) != member.file_size or crc32(found) != member.CRC:
            raise ValueError(f"{name} is damaged: its checksum is another one")
        return found
