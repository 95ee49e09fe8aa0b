"""Rows into files: JSON lines, plain, gzip or zstd, and Parquet. The file's name, or the command, says which."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, Protocol, TypeAlias

import orjson

from drawbar.errors import ConfigurationError, nearest
from drawbar.export.draft import Draft
from drawbar.export.folder import Files, FolderDraft
from drawbar.export.format import Format, InFiles, Kind, Row
from drawbar.export.losses import Losses
from drawbar.wire.tolerant import dump

Compression: TypeAlias = Literal["none", "gz", "zst"]

COMPRESSIONS: Final[tuple[Compression, ...]] = ("none", "gz", "zst")
_COMPRESSED: Final[Mapping[str, Compression]] = {".gz": "gz", ".zst": "zst", ".zstd": "zst"}
_KINDS: Final[Mapping[str, Kind]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Target:
    """A file that is to be written."""

    path: Path
    kind: Kind
    compression: Compression


def target(path: Path, compression: str | None, format: Format) -> Target:
    """What a file's name and the wish for a compression mean together.

    Raises:
        ConfigurationError: they mean nothing, or the format is not written so.
    """
    if compression not in (None, *COMPRESSIONS):
        raise ConfigurationError(f"There is no compression {compression!r}.{nearest(str(compression), COMPRESSIONS)}")
    if isinstance(format, InFiles) and not path.suffix and compression in (None, "none"):
        return Target(path, "folder", "none")
    if isinstance(format, InFiles) and format.alone:
        raise ConfigurationError(
            f"{format.name} is a plain file for each conversation: name a folder for them, such as -o traces."
        )
    last = path.suffix.lower()
    told = _COMPRESSED.get(last)
    kind = _KINDS.get(Path(path.stem).suffix.lower() if told is not None else last)
    if kind is None or (kind == "parquet" and told is not None):
        known = ".jsonl, .jsonl.gz, .jsonl.zst or .parquet"
        raise ConfigurationError(f"The name {path.name!r} does not say what file it is to be: end it with {known}.")
    if kind == "parquet" and format.columns is None:
        raise ConfigurationError(f"{format.name} has no Parquet form: nothing reads it. Write {path.stem}.jsonl.")
    if told is not None and compression not in (None, told):
        raise ConfigurationError(f"The name {path.name!r} and --compress {compression} say different things.")
    chosen: Compression = (
        told if told is not None else "zst" if compression == "zst" else "gz" if compression == "gz" else "none"
    )
    if kind == "parquet":
        return Target(path, kind, "zst" if compression is None else chosen)
    suffix = f".{chosen}" if chosen != "none" and told is None else ""
    return Target(path.with_name(path.name + suffix), kind, chosen)


class Sink(Protocol):
    """Where rows go."""

    def write(self, rows: Sequence[Row]) -> None:
        """Raises `OSError`."""

    def finish(self) -> None:
        """Nothing more comes. Raises `OSError`."""


def sink(target: Target, draft: Draft | FolderDraft, format: Format, losses: Losses) -> Sink:
    """Writes rows of a format into a file."""
    if isinstance(draft, FolderDraft):
        assert isinstance(format, InFiles)
        return Files(draft, format)
    if target.kind == "jsonl":
        return JsonLines(draft, target.compression)
    from drawbar.export.parquet import ParquetFile

    assert format.columns is not None
    return ParquetFile(draft, target.compression, format.columns, losses)


class JsonLines:
    """One JSON object per line."""

    def __init__(self, draft: Draft, compression: Compression) -> None:
        self._stream = _stream(draft, compression)

    def write(self, rows: Sequence[Row]) -> None:
        try:
            lines = [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows]
        except TypeError:
            lines = [dump(row) + b"\n" for row in rows]  # half characters, numbers without end: the tolerant way
        self._stream.write(b"".join(lines))

    def finish(self) -> None:
        if not isinstance(self._stream, Draft):
            self._stream.close()


class Pick:
    """A few of the rows, each as likely as any other: what a file would hold, without one."""

    def __init__(self, most: int, seed: int) -> None:
        self.rows: list[Row] = []
        self._most = most
        self._seen = 0
        self._random = Random(seed)

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._seen += 1
            if len(self.rows) < self._most:
                self.rows.append(row)
            elif (place := self._random.randrange(self._seen)) < self._most:
                self.rows[place] = row

    def finish(self) -> None:
        """There is nothing to close."""


def _stream(draft: Draft, compression: Compression) -> Any:
    file: Any = draft  # all that is asked of it is to be written to
    if compression == "gz":
        return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0)
    if compression == "zst":
        import zstandard

        return zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False)
    return draft
