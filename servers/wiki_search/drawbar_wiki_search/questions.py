"""Questions as tasks, from JSONL or Parquet, with a split that depends on nothing but the question."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson

from drawbar import Task
from drawbar.errors import ConfigurationError

Split: TypeAlias = Literal["train", "test", "all"]

_TEST_SHARE = 0.3


def side(question: str) -> Literal["train", "test"]:
    """Which side of the split a question stands on: by a digest of its words, the same everywhere and for ever."""
    value = int.from_bytes(hashlib.blake2b(question.strip().encode(), digest_size=8).digest())
    return "test" if value < _TEST_SHARE * 2**64 else "train"


def load_questions(path: Path, split: Split = "all") -> Iterator[Task]:
    """The questions of a file as tasks, in the file's order.

    Fields: `question`, `answer`, and optionally `key`, `aliases` (list) and `pages` (list of supporting page ids).

    Raises:
        ConfigurationError: the file cannot be read, or a row of it has no question or answer; says which.
    """
    if split not in ("train", "test", "all"):
        raise ConfigurationError(f"split is 'train', 'test' or 'all', not {split!r}.")
    rows = _parquet(path) if path.suffix == ".parquet" else _jsonl(path)
    for where, row in rows:
        missing = [name for name in ("question", "answer") if not str(row.get(name) or "").strip()]
        if missing:
            raise ConfigurationError(f"{where}: no {' and no '.join(missing)}.")
        if split in ("all", side(row["question"])):
            info = {"aliases": list(row.get("aliases") or ()), "pages": list(row.get("pages") or ())}
            yield Task(prompt=row["question"], answer=str(row["answer"]), key=str(row.get("key") or ""), info=info)


def _jsonl(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}, line {number}", _object(line, f"{path}, line {number}")
    except OSError as error:
        raise ConfigurationError(f"The questions at {path} cannot be read: {error.strerror}.") from error


def _object(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{where}: not JSON ({error}).") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: not a JSON object.")
    return value


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from drawbar_wiki_search.indexing.tables import parquet_rows

    for number, row in enumerate(parquet_rows(path), 1):
        yield f"{path}, row {number}", row
