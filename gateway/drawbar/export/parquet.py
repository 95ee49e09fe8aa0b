"""Rows into Parquet, a row group at a time. Needs pyarrow, which is loaded here alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from drawbar.errors import ConfigurationError
from drawbar.export.draft import Draft
from drawbar.export.format import Column, Row
from drawbar.export.losses import Losses
from drawbar.wire.tolerant import dump

GROUP: Final = 2_000
"""Rows in a row group: what is in memory at a time."""
_CODECS: Final = {"none": "none", "gz": "gzip", "zst": "zstd"}
_RARE: Final = "images"
"""A column that trainers take for a sign that the model sees, even where it holds nothing: it is there only if one of
the first rows has something in it."""
_UNSEEN: Final = f"pictures: none of the first {GROUP:,} rows has any, so there is no column for them (write .jsonl)"
_UNPLACED: Final = "the place of pictures among words: a column of Parquet has texts alone (write .jsonl)"


class ParquetFile:
    """A Parquet file with a format's columns."""

    def __init__(self, draft: Draft, compression: str, columns: Mapping[str, Column], losses: Losses) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "Parquet needs pyarrow: pip install 'drawbar[export]'. JSONL needs nothing."
            ) from error
        self._pyarrow = pyarrow
        self._columns = dict(columns)
        self._losses = losses
        self._codec = _CODECS[compression]
        self._sink = pyarrow.PythonFile(_Writable(draft), mode="w")
        self._writer: Any = None
        self._rows: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        self._rows += (self._fit(row, self._columns) for row in rows)
        while len(self._rows) >= GROUP:
            self._group(self._rows[:GROUP])
            del self._rows[:GROUP]

    def finish(self) -> None:
        if self._rows or self._writer is None:
            self._group(self._rows)
            self._rows = []
        self._writer.close()

    def _begin(self, rows: Sequence[Row]) -> None:
        """Now that the first rows are known, it is known which columns there are."""
        pyarrow = self._pyarrow
        if not any(row.get(_RARE) for row in rows):
            self._columns.pop(_RARE, None)
        features = {name: _feature(column) for name, column in self._columns.items()}
        told = {"huggingface": orjson.dumps({"info": {"features": features}}).decode()}
        texts, marked = pyarrow.string(), pyarrow.json_()
        self._plain = pyarrow.schema([(name, _type(it, pyarrow, texts)) for name, it in self._columns.items()])
        fields = [(name, _type(column, pyarrow, marked)) for name, column in self._columns.items()]
        self._schema = pyarrow.schema(fields, metadata=told)
        self._writer = pyarrow.parquet.ParquetWriter(self._sink, self._schema, compression=self._codec)

    def _group(self, rows: Sequence[Row]) -> None:
        if self._writer is None:
            self._begin(rows)
        elif _RARE not in self._columns and (unseen := sum(bool(row.get(_RARE)) for row in rows)):
            self._losses.note(_UNSEEN, unseen)
            self._losses.keep()
        table = self._pyarrow.Table.from_pylist(list(rows), schema=self._plain)
        self._writer.write_table(table.cast(self._schema))  # its maker of tables does not know the type of JSON

    def _fit(self, value: Any, column: Column) -> Any:
        """A value as its column has it. Raises `KeyError` for a field that no column has: nothing is left out."""
        if value is None:
            return None
        if isinstance(column, list):
            return [self._fit(item, column[0]) for item in value]
        if isinstance(column, dict):
            if unknown := value.keys() - column.keys():
                raise KeyError(f"no column for {', '.join(sorted(unknown))}")
            return {name: self._fit(value.get(name), inner) for name, inner in column.items()}
        if column == "json":
            return _json(value)
        if column == "text" and isinstance(value, list):
            self._losses.note(_UNPLACED)
            return "\n".join(part["text"] for part in value if part["type"] == "text")
        return value


class _Writable:
    """A draft as pyarrow wants files to be."""

    closed = False

    def __init__(self, draft: Draft) -> None:
        self.write = draft.write

    def flush(self) -> None:
        """A draft is brought to the disk at its end."""

    def close(self) -> None:
        self.closed = True


def _type(column: Column, pyarrow: Any, json: Any) -> Any:
    if isinstance(column, list):
        return pyarrow.list_(_type(column[0], pyarrow, json))
    if isinstance(column, dict):
        return pyarrow.struct([(name, _type(inner, pyarrow, json)) for name, inner in column.items()])
    return {
        "text": pyarrow.string(), "json": json, "true or false": pyarrow.bool_(), "number": pyarrow.float64(),
        "whole number": pyarrow.int64(),
    }[column]  # fmt: skip


def _feature(column: Column) -> Any:
    """A column's type in the words of `datasets`, which thus knows what text is JSON, and reads it as what it was."""
    if isinstance(column, list):
        return {"feature": _feature(column[0]), "_type": "List"}
    if isinstance(column, dict):
        return {name: _feature(inner) for name, inner in column.items()}
    if column == "json":
        return {"_type": "Json"}
    dtype = {"text": "string", "true or false": "bool", "number": "float64", "whole number": "int64"}[column]
    return {"dtype": dtype, "_type": "Value"}


def _json(value: Any) -> str:
    return dump(value).decode("utf-8", "replace")
