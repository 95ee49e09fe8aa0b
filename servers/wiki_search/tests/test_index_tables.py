"""Pages from JSONL and Parquet, and where their sections begin."""

from __future__ import annotations

import bz2
import gzip
import sys
from pathlib import Path
from typing import Any

import orjson
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from drawbar.errors import ConfigurationError
from drawbar_wiki_search.indexing.headings import bounded, headed
from drawbar_wiki_search.indexing.reading import Reading
from drawbar_wiki_search.indexing.seen import Seen
from drawbar_wiki_search.indexing.sources import Source
from drawbar_wiki_search.indexing.tables import parquet_rows
from drawbar_wiki_search.pages import Page, Redirect, split_sections

ROWS = [{"id": "1", "title": "Aa", "text": "One."}, {"id": "2", "title": "Bb", "text": "Two."}]


def write_jsonl(path: Path, *rows: Any) -> Path:
    data = b"\n".join(row if isinstance(row, bytes) else orjson.dumps(row) for row in rows) + b"\n"
    match path.suffix:
        case ".gz":
            data = gzip.compress(data)
        case ".bz2":
            data = bz2.compress(data)
    path.write_bytes(data)
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]], group: int = 1000) -> Path:
    parquet.write_table(arrow.Table.from_pylist(rows), path, row_group_size=group)
    return path


def read(path: Path) -> tuple[list[Page | Redirect], Reading]:
    source = Source.at(path)
    reading = source.reading()
    return list(source.items(reading, jobs=1)), reading


@pytest.mark.parametrize("name", ["w.jsonl", "w.jsonl.gz", "w.jsonl.bz2", "w.ndjson"])
def test_jsonl_gives_pages(tmp_path: Path, name: str) -> None:
    items, _ = read(
        write_jsonl(tmp_path / name, ROWS[0], b"", {"id": 7, "title": "C", "content": "c", "aliases": ["D"]})
    )
    assert items == [Page("1", "Aa", "One."), Page("7", "C", "c", ("D",))]


def test_parquet_gives_pages_from_text_or_content(tmp_path: Path) -> None:
    items, reading = read(
        write_parquet(tmp_path / "w.parquet", [*ROWS, {"id": "3", "title": "C", "text": "c", "url": "u"}])
    )
    assert items == [Page("1", "Aa", "One."), Page("2", "Bb", "Two."), Page("3", "C", "c")]
    assert reading.finished_bytes == reading.total_bytes
    items, _ = read(write_parquet(tmp_path / "v.parquet", [{"id": 5, "title": "C", "content": "c"}]))
    assert items == [Page("5", "C", "c")]


def test_a_folder_of_shards_is_one_table(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", ROWS[:1])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", ROWS[1:])
    (tmp_path / "README.md").write_text("x")
    items, _ = read(tmp_path)
    assert [item.title for item in items] == ["Aa", "Bb"]


def test_the_first_page_of_an_id_is_kept_and_pages_without_text_are_counted_out(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "w.jsonl", ROWS[0], {**ROWS[1], "id": 1}, {**ROWS[1], "text": " "})
    items, reading = read(path)
    assert items == [Page("1", "Aa", "One.")]
    assert dict(reading.skipped) == {"id already taken by an earlier page": 1, "without title or text": 1}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b'{"id": 1, "ti', "line 2: not JSON"),
        (b"[1]", "line 2: not a JSON object but list"),
        ({"id": 1, "title": "A"}, "line 2: no text or content; it has id, title"),
        ({"id": 1, "title": 5, "text": "x"}, "line 2: title is int where a text belongs"),
        ({"id": "", "title": "A", "text": "x"}, "line 2: the id is empty"),
        ({"id": "2", "title": "A", "text": "x", "aliases": 5}, "line 2: aliases"),
    ],
)
def test_a_bad_line_is_an_error_with_its_number(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(write_jsonl(tmp_path / "w.jsonl", ROWS[0], row))


def test_cut_compressed_jsonl_is_an_error_that_says_after_which_line(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": 1, "title": "A", "text": "x"}\n' * 50)[:-10])
    with pytest.raises(ConfigurationError, match=r"damaged or cut short after line \d+"):
        read(path)


def test_parquet_without_a_needed_column_names_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no column title; its columns are id, name, body"):
        read(write_parquet(tmp_path / "w.parquet", [{"id": "1", "name": "x", "body": "y"}]))


def test_damaged_parquet_says_how_far_it_was_good(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "w.parquet",
        [{"id": str(n), "title": f"T{n}", "text": f"word {n} " * 30} for n in range(3000)],
        group=500,
    )
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = b"y" * 3000
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"damaged after row \d+"):
        read(path)
    path.write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="is not a Parquet file"):
        read(path)


def test_parquet_rows_gives_all_columns_and_refuses_what_is_not_there(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "q.parquet", [{"question": "Q?", "answer": "A"}])
    assert list(parquet_rows(path)) == [{"question": "Q?", "answer": "A"}]
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(parquet_rows(tmp_path / "nothing.parquet"))


def test_without_the_library_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match="pip install pyarrow"):
        list(parquet_rows(tmp_path / "q.parquet"))


PROSE = "It began long ago, and many things happened that are told here at some length, one after the other."


@pytest.mark.parametrize(
    "text",
    [
        f"Lead.\n\nHistory\n\n{PROSE}\n\nEarly days\n\n{PROSE}",
        f"Lead.\n\nHistory \n{PROSE}\n\nEarly days \n{PROSE}",
        f"Lead.\n== History ==\n{PROSE}\n=== Early days ===\n{PROSE}",
        f"# Title\n\nLead.\n\n## History\n{PROSE}\n\n### Early days ###\n{PROSE}",
        f"Lead.\r\n\r\nHistory\r\n\r\n{PROSE}\r\n\r\nEarly days\r\n\r\n{PROSE}",
    ],
)
def test_headings_are_found_however_they_are_marked(text: str) -> None:
    sections = list(split_sections("1", headed(text, "Title")))
    assert [(section.title, section.text) for section in sections] == [
        ("Introduction", "Lead."),
        ("History", PROSE),
        ("Early days", PROSE),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Short first line\n\n" + PROSE,
        f"{PROSE}\n\nA short sentence.\n\n{PROSE}",
        f"{PROSE}\n\none\n\ntwo\n\nthree\n\n{PROSE}",
        f"{PROSE}\n\nOne\n Two\n Three",
        f"{PROSE}\n\nThe end",
    ],
)
def test_short_lines_that_are_not_evidently_headings_stay_text(text: str) -> None:
    assert "#" not in headed(text)


def test_a_long_section_is_cut_at_paragraph_ends_into_numbered_parts() -> None:
    paragraph = " ".join(["word"] * 300)
    text = bounded("\n\n".join(["Lead.", "## History", *[paragraph] * 6, "## End", "Short."]))
    sections = list(split_sections("1", text))
    names = ["Introduction", "History", "History (part 2)", "History (part 3)", "End"]
    assert [section.title for section in sections] == names
    assert [section.id for section in sections][2] == "1:history-part-2"
    assert all(len(section.text.split()) <= 800 for section in sections)
    assert sections[1].text == f"{paragraph}\n\n{paragraph}"


@pytest.mark.parametrize("text", ["A few words here. " * 1000, "word " * 3000])
def test_a_paragraph_that_is_too_long_by_itself_is_cut_and_loses_no_word(text: str) -> None:
    sections = list(split_sections("1", bounded(text)))
    assert all(len(section.text.split()) <= 800 for section in sections)
    assert " ".join(section.text for section in sections).split() == text.split()


def test_seen_tells_new_from_old_beyond_its_first_size() -> None:
    seen = Seen()
    assert all(seen.add(str(n)) for n in range(100_000))
    assert not any(seen.add(str(n)) for n in range(0, 100_000, 97))
