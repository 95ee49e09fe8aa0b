"""Pictures in Parquet: the column is a sign to trainers, and is there only where there are pictures."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import pytest
from tests.export.stories import plain_story, tell

from drawbar.export import parquet
from drawbar.export.engine import Wanted
from drawbar.export.format import format_named
from drawbar.export.run import export
from drawbar.export.tally import Tally
from drawbar.export.writing import target
from drawbar.record.store import Store


def written(store: Store, file: Path) -> Tally:
    format = format_named("trl")
    return export(store, Wanted(format=format), target(file, None, format), licenses={})[0]


def test_a_file_without_pictures_has_no_column_for_them(store: Store, tmp_path: Path) -> None:
    plain_story(store).end()
    written(store, tmp_path / "a.parquet")
    assert pyarrow.parquet.read_schema(tmp_path / "a.parquet").names == ["messages", "tools"]
    tell(store, "chat").end()
    written(store, tmp_path / "b.parquet")
    assert pyarrow.parquet.read_schema(tmp_path / "b.parquet").names == ["messages", "tools", "images"]
    images = pyarrow.parquet.read_table(tmp_path / "b.parquet")["images"].to_pylist()
    assert [bool(each) for each in images] == [False, True]


def test_pictures_that_come_after_many_rows_without_any_are_told_as_lost(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "GROUP", 2)
    for number in range(3):
        plain_story(store, f"{number}?", started=float(number)).end()
    tell(store, "chat", started=9.0).end()
    losses = written(store, tmp_path / "a.parquet").losses.to_json()
    assert [said["times"] for what, said in losses.items() if what.startswith("pictures: none of the first")] == [1]
    assert pyarrow.parquet.read_table(tmp_path / "a.parquet").num_rows == 4
