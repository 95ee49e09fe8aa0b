"""Tasks out of a file, JSONL or Parquet: one row, one task. Every error names the file and the row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import orjson

from drawbar.errors import ConfigurationError, nearest
from drawbar.task import Limits, Task

_ALIASES: Final = {"question": "prompt", "id": "key", "system_prompt": "system"}
_COLUMNS: Final = ("prompt", "answer", "key", "system", "info", "limits", "user_turns")


@dataclass(frozen=True, slots=True)
class TaskFile:
    """The tasks of a `.jsonl` (or `.ndjson`) or `.parquet` file, read row by row each time it is gone through.

    Columns: `prompt` (or `question`; a text or chat messages), and if you like `answer`, `key` (or `id`), `system`,
    `info` (an object), `limits` (`turns`, `tokens`, `cost`, `seconds`) and `user_turns` (a list of texts or chat
    messages: what the user says later). Any other column goes into the task's `info`.

    Raises:
        ConfigurationError: no such file or no such format; and, while reading, a row that is no task (file, line,
        what).
    """

    path: str | Path

    def __post_init__(self) -> None:
        if not Path(self.path).is_file():
            beside = " In a Python file, `Path(__file__).with_name('tasks.jsonl')` is the one beside it."
            raise ConfigurationError(
                f"There is no task file {self.path}.{'' if Path(self.path).is_absolute() else beside}"
            )
        if Path(self.path).suffix not in _READERS:
            raise ConfigurationError(
                f"{self.path}: tasks are read from {', '.join(_READERS)} files, not from "
                f"{Path(self.path).suffix or 'this'}."
            )

    def __iter__(self) -> Iterator[Task]:
        path = Path(self.path)
        unit = "row" if path.suffix == ".parquet" else "line"
        first: dict[str, int] = {}
        for number, row in _READERS[path.suffix](path):
            place = f"{path}, {unit} {number}"
            task = _task(row, place)
            if task.key in first:
                raise ConfigurationError(
                    f"{place}: the key {task.key!r} repeats; it is that of {unit} {first[task.key]} too. "
                    "Give each task a `key` of its own."
                )
            first[task.key] = number
            yield task


def _task(row: Any, place: str) -> Task:
    if not isinstance(row, Mapping):
        raise ConfigurationError(f"{place}: a task is a JSON object, not {_kind(row)}.")
    named: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for column, value in row.items():
        name = _ALIASES.get(column, column)
        if name not in _COLUMNS:
            extra[column] = value
        elif named.get(name) is not None and value is not None:
            raise ConfigurationError(f"{place}: it has both `{name}` and `{column}`, which mean the same. Keep one.")
        elif value is not None:
            named[name] = value
    _check(named, row, place)
    named["info"] = extra | dict(named.get("info", {}))
    if "limits" in named:
        named["limits"] = _limits(named["limits"], place)
    try:
        return Task(**named)
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from error


def _check(named: dict[str, Any], row: Mapping[str, Any], place: str) -> None:
    if not named.get("prompt"):
        raise ConfigurationError(
            f"{place}: the task has no prompt. Give it a `prompt` or `question`; it has {', '.join(row) or 'nothing'}."
        )
    prompt = named["prompt"]
    if not isinstance(prompt, str) and not (isinstance(prompt, list) and all(isinstance(m, Mapping) for m in prompt)):
        raise ConfigurationError(f"{place}: `prompt` is a text or a list of chat messages, not {_kind(prompt)}.")
    if isinstance(named.get("key"), int):
        named["key"] = str(named["key"])
    for name, kind, word in (("key", str, "a text"), ("system", str, "a text"), ("info", Mapping, "an object"),
                             ("limits", Mapping, "an object"), ("user_turns", list, "a list")):  # fmt: skip
        if name in named and not isinstance(named[name], kind):
            raise ConfigurationError(f"{place}: `{name}` is {word}, not {_kind(named[name])}.")


def _limits(value: Mapping[str, Any], place: str) -> Limits:
    names = [field.name for field in fields(Limits)]
    for name in value:
        if name not in names:
            raise ConfigurationError(f"{place}: there is no limit `{name}`.{nearest(name, names)}")
    try:
        return Limits(**value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from error


def _kind(value: Any) -> str:
    names = {
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "a truth value",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ConfigurationError(
                    f"{path}, line {number}: not JSON, at column {error.colno}: {error.msg}. Each line is one "
                    "JSON object."
                ) from error


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ConfigurationError(f"{path}: reading Parquet needs pyarrow. Run: pip install pyarrow") from error
    number = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (ArrowException, OSError) as error:
        raise ConfigurationError(f"{path}: damaged, or not a Parquet file (after row {number}): {error}") from error


_READERS: Final = {".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
