"""Pages from rows: JSONL and Parquet files with an id, a title and a text, one file or a folder of shards.

This is the shape of `wikimedia/wikipedia` (text) and `willcb/rare-wiki-pages` (content) on the Hugging Face hub.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from drawbar.errors import ConfigurationError
from drawbar_wiki_search.indexing.headings import bounded, headed
from drawbar_wiki_search.indexing.reading import Reading, is_damage, library, opened
from drawbar_wiki_search.indexing.seen import Seen
from drawbar_wiki_search.pages import Page

_NEEDED: Final = (("id",), ("title",), ("text", "content"))
"""The columns of a page; one of each group."""
_BATCH_ROWS: Final = 200

_Row: TypeAlias = tuple[str, int, Mapping[str, Any]]
"""Where it stands, bytes of the file read up to it, its values by column."""


def table_items(files: Sequence[Path], reading: Reading) -> Generator[Page]:
    """The pages of these files, in order.

    Raises:
        ConfigurationError: a file cannot be read, or a column is missing; says which and where.
    """
    seen, start = Seen(), 0
    for path in files:
        for where, share, row in _parquet(path) if path.suffix == ".parquet" else _jsonl(path):
            reading.finished_bytes = start + share
            page = _page(row, where)
            if not page.title or not page.text:
                reading.skipped["without title or text"] += 1
            elif not seen.add(page.id):
                reading.skipped["id already taken by an earlier page"] += 1
            else:
                yield page
        start += path.stat().st_size


def parquet_rows(path: Path, needed: Sequence[Sequence[str]] = ()) -> Iterator[Mapping[str, Any]]:
    """The rows of a Parquet file, streamed; all columns, or of each group in `needed` those that are there.

    Raises:
        ConfigurationError: it cannot be read, or has no column of a group in `needed`; says which columns it has.
    """
    for _, rows in _batches(path, needed):
        yield from rows


def _parquet(path: Path) -> Iterator[_Row]:
    size, number = path.stat().st_size, 0
    for share, rows in _batches(path, _NEEDED):
        for row in rows:
            number += 1
            yield f"{path}, row {number}", int(size * share), row


def _batches(path: Path, needed: Sequence[Sequence[str]]) -> Iterator[tuple[float, list[dict[str, Any]]]]:
    """Some rows at a time, with the share of the file's rows up to there."""
    arrow, parquet = library("pyarrow"), library("pyarrow.parquet")
    done = 0
    try:
        with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            columns = _chosen(path, file.schema_arrow.names, needed)
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                done += batch.num_rows
                yield done / file.metadata.num_rows, batch.to_pylist()
    except arrow.ArrowException as error:
        where = f"after row {done}" if done else "at its beginning"
        raise ConfigurationError(
            f"{path} is not a Parquet file or is damaged {where}: {str(error).rstrip('.')}."
        ) from error
    except OSError as error:  # damaged pages come as this too, without a number
        what = (
            f"is damaged after row {done}: {str(error).rstrip('.')}"
            if error.errno is None
            else f"cannot be read: {error.strerror}"
        )
        raise ConfigurationError(f"{path} {what}.") from error


def _chosen(path: Path, there: Sequence[str], needed: Sequence[Sequence[str]]) -> list[str] | None:
    if not needed:
        return None
    for group in needed:
        if not set(group) & set(there):
            raise ConfigurationError(f"{path} has no column {' or '.join(group)}; its columns are {', '.join(there)}.")
    return [name for name in (*(name for group in needed for name in group), "aliases") if name in there]


def _jsonl(path: Path) -> Iterator[_Row]:
    number = 0
    with opened(path) as (content, raw):
        try:
            for number, line in enumerate(content, 1):
                if line.strip():
                    yield f"{path}, line {number}", raw.count, _object(line, f"{path}, line {number}")
        except OSError as error:
            raise _unreadable(path, number, error) from error
        except Exception as error:
            if not is_damage(error):
                raise
            raise _unreadable(path, number, error) from error


def _unreadable(path: Path, line: int, error: Exception) -> ConfigurationError:
    what = "its compressed data is damaged or cut short" if is_damage(error) else "reading it failed"
    return ConfigurationError(f"{path}: {what} after line {line} ({error}). Fetch the file again.")


def _object(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{where}: not JSON ({error}).") from error
    if not isinstance(row, dict):
        raise ConfigurationError(f"{where}: not a JSON object but {type(row).__name__}.")
    for group in _NEEDED:
        if all(row.get(name) is None for name in group):
            raise ConfigurationError(f"{where}: no {' or '.join(group)}; it has {', '.join(row) or 'nothing'}.")
    return row


def _page(row: Mapping[str, Any], where: str) -> Page:
    values = [next((row[name] for name in group if row.get(name) is not None), "") for group in _NEEDED]
    for group, value in zip(_NEEDED, values, strict=True):
        if not isinstance(value, str) and (group != ("id",) or not isinstance(value, int)):
            raise ConfigurationError(f"{where}: {group[0]} is {type(value).__name__} where a text belongs.")
    if values[0] == "":
        raise ConfigurationError(f"{where}: the id is empty.")
    aliases = row.get("aliases") or ()
    if not isinstance(aliases, str | list | tuple):
        raise ConfigurationError(f"{where}: aliases is {type(aliases).__name__} where a list of titles belongs.")
    names = (aliases,) if isinstance(aliases, str) else tuple(str(alias) for alias in aliases)
    title = " ".join(values[1].split())
    return Page(str(values[0]), title, bounded(headed(values[2], title)), names)
