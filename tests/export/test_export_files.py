"""Files: every kind is read by the library that it is for, and a file has its name only when it is whole."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from tests.export.stories import plain_story, tell

from drawbar.errors import ConfigurationError
from drawbar.export import manifest
from drawbar.export.engine import Wanted
from drawbar.export.format import format_named
from drawbar.export.run import export
from drawbar.export.writing import target
from drawbar.record.store import Store


def _write(store: Store, path: Path, format: str = "trl", compress: str | None = None) -> Path:
    made = format_named(format)
    chosen = target(path, compress, made)
    _, beside = export(store, Wanted(format=made), chosen, licenses={"up": "MIT", "*": "unknown"})
    assert beside == manifest.path_of(chosen.path)
    return chosen.path


def _read(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize(
    ("name", "compress", "written"),
    [
        ("a.jsonl", None, "a.jsonl"),
        ("a.jsonl.gz", None, "a.jsonl.gz"),
        ("a.ndjson.zst", None, "a.ndjson.zst"),
        ("a.jsonl", "zst", "a.jsonl.zst"),
        ("a.jsonl", "none", "a.jsonl"),
        ("a.jsonl.gz", "gz", "a.jsonl.gz"),
    ],
)
def test_json_lines_are_compressed_as_name_or_wish_say(
    store: Store, tmp_path: Path, name: str, compress: str | None, written: str
) -> None:
    for number in range(3):
        plain_story(store, f"{number} \u00e9\U0001f600").end()
    path = _write(store, tmp_path / name, compress=compress)
    assert path.name == written
    assert [row["messages"][0]["content"] for row in _read(path)] == [f"{n} \u00e9\U0001f600" for n in range(3)]
    assert not [it for it in os.listdir(tmp_path) if it.startswith(".")]


@pytest.mark.parametrize("format", ["trl", "trl-completion", "sharegpt"])
def test_parquet_says_what_json_lines_say(store: Store, tmp_path: Path, format: str) -> None:
    import pyarrow.parquet

    plain_story(store).end()
    tell(store, "messages").end()
    table = pyarrow.parquet.read_table(_write(store, tmp_path / "a.parquet", format))
    lines = _read(_write(store, tmp_path / "a.jsonl", format))
    found = [_without_nulls(row) for row in table.to_pylist()]
    assert len(found) == len(lines)
    assert [_plain(row) for row in found] == [_plain(row) for row in lines]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """With what a column of Parquet has in another way: objects without a schema, and pictures among words."""
    if isinstance(value, dict):
        found = {name: _plain(inner) for name, inner in value.items() if inner is not None}
        if isinstance(found.get("arguments"), str):
            found["arguments"] = json.loads(found["arguments"])
        if isinstance(content := found.get("content"), list):
            found["content"] = "".join(part["text"] for part in content if part["type"] == "text")
        return found
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def test_parquet_says_that_pictures_lose_their_place(store: Store, tmp_path: Path) -> None:
    tell(store, "chat").end()
    path = _write(store, tmp_path / "a.parquet")
    assert any(
        "place of pictures" in what for what in json.loads(manifest.path_of(path).read_text())["counts"]["losses"]
    )


@pytest.mark.parametrize(
    ("name", "format", "compress", "said"),
    [
        ("a.csv", "trl", None, "end it with .jsonl"),
        ("a", "trl", None, "end it with .jsonl"),
        ("a.parquet.gz", "trl", None, "end it with .jsonl"),
        ("a.parquet", "openai", None, "no Parquet form"),
        ("a.jsonl.gz", "trl", "zst", "say different things"),
        ("a.jsonl", "trl", "zstd", "Did you mean 'zst'"),
    ],
)
def test_a_name_that_means_nothing_is_refused(name: str, format: str, compress: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        target(Path(name), compress, format_named(format))


def test_a_manifest_says_where_rows_come_from_and_whether_a_file_is_still_the_same(
    store: Store, tmp_path: Path
) -> None:
    plain_story(store, environment="wiki").end()
    plain_story(store).end("harness_failed")
    path = _write(store, tmp_path / "a.jsonl")
    beside = manifest.path_of(path)
    said = json.loads(beside.read_text())
    assert said["query"]["format"] == "trl"
    assert said["counts"]["sessions"] == {
        "meant": 2, "looked_at": 2, "left_out": {"invalid_rollout": 1}, "exported": 1,
    }  # fmt: skip
    assert said["licenses"] == {"up/m": "MIT"}
    assert said["files"][0]["bytes"] == path.stat().st_size
    assert manifest.differences(beside) == []

    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"Hello", b"Hallo"))
    assert "other content" in manifest.differences(beside)[0]
    path.write_bytes(whole + b"\n")
    assert "bytes; it had" in manifest.differences(beside)[0]
    path.unlink()
    assert "is not there" in manifest.differences(beside)[0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"manifest":1,"files":[{}]}', '{"manifest":9,"files":[]}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="no manifest"):
        manifest.differences(path)


def test_the_same_sessions_give_the_same_file(store: Store, tmp_path: Path) -> None:
    for number in range(5):
        plain_story(store, str(number)).end()
    for name in ("x.jsonl", "x.jsonl.gz", "x.jsonl.zst", "x.parquet"):
        first, second = tmp_path / name, tmp_path / f"again-{name}"
        assert _write(store, first).read_bytes() == _write(store, second).read_bytes()


def test_without_a_row_nothing_is_written(store: Store, tmp_path: Path) -> None:
    plain_story(store).leave_open()
    path = tmp_path / "a.jsonl"
    format = format_named("trl")
    _, beside = export(store, Wanted(format=format), target(path, None, format), licenses={})
    assert beside is None
    assert os.listdir(tmp_path) == [it for it in os.listdir(tmp_path) if it.startswith("drawbar.db")]


FULL = """
import resource, signal, sys
from pathlib import Path
from drawbar.export.engine import Wanted
from drawbar.export.format import format_named
from drawbar.export.run import export
from drawbar.export.writing import target
from drawbar.record.store import Store
store = Store.open(sys.argv[1], read_only=True)
store.count()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
format = format_named("trl")
try:
    export(store, Wanted(format=format), target(Path(sys.argv[2]), None, format), licenses={})
except OSError as error:
    print("full", error.errno)
"""


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_a_full_disk_leaves_what_was_there_and_nothing_else(tmp_path: Path, name: str) -> None:
    """The disk is a limit on file size, which needs no rights to set."""
    (tmp_path / "store").mkdir()
    store = Store.open(tmp_path / "store" / "drawbar.db")
    for _ in range(40):
        plain_story(store, os.urandom(2000).hex()).end()
    store.close()
    (tmp_path / name).write_bytes(b"before")
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "store" / "drawbar.db", tmp_path / name],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.startswith("full"), done.stderr
    assert (tmp_path / name).read_bytes() == b"before"
    assert sorted(os.listdir(tmp_path)) == sorted([name, "store"])
