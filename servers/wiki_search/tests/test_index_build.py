"""Indexes: whole or not at all, and what a search of one finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drawbar_wiki_search.building import build_index
from drawbar_wiki_search.index import BadIndex, WikiIndex
from drawbar_wiki_search.pages import Page, Redirect

PAGES: list[Page | Redirect] = [
    Redirect("USSR", "Soviet Union"),
    Page("1", "Soviet Union", "A state in Eurasia.\n## Economy\nPlanned by the government."),
    Redirect("CCCP", "USSR"),
    Page("2", "The Who", "An English rock band.", ("High Numbers",)),
    Page("3", "Economy", "What people produce, and who gets it."),
    Redirect("Nowhere", "Not there"),
    Redirect("Loop a", "Loop b"),
    Redirect("Loop b", "Loop a"),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> WikiIndex:
    path = tmp_path_factory.mktemp("wiki") / "index"
    assert build_index(PAGES, path, source="test") == 3
    return WikiIndex(path)


@pytest.mark.parametrize("query", ["USSR", "ussr", "CCCP", "economy of the USSR", "Soviet Union"])
def test_a_page_is_found_by_its_title_and_by_its_redirects(index: WikiIndex, query: str) -> None:
    assert index.search(query, 3)[0].page_id == "1"


def test_a_page_is_found_by_its_alias_and_by_stop_words_if_they_are_its_title(index: WikiIndex) -> None:
    assert index.search("high numbers", 1)[0].title == "The Who"
    assert index.search("The Who", 2)[0].title == "The Who"


def test_a_redirect_that_leads_nowhere_or_in_a_circle_finds_nothing(index: WikiIndex) -> None:
    assert index.search("Nowhere", 5) == []
    assert index.search("Loop", 5) == []
    assert index.by_title("Loop a") is None


@pytest.mark.parametrize("query", ["", "  ", "?!", "(((", 'title:"x', "zzzz"])
def test_a_query_that_says_nothing_finds_nothing(index: WikiIndex, query: str) -> None:
    assert index.search(query, 5) == []


def test_many_redirects_of_one_page_do_not_crowd_out_other_pages(tmp_path: Path) -> None:
    redirects = [Redirect(f"Obama {n}", "Barack Obama") for n in range(300)]
    pages = [Page("0", "Barack Obama", "A president."), *(Page(str(n), f"P{n}", "Met Obama.") for n in range(1, 8))]
    build_index([*redirects, *pages], tmp_path / "index", source="test")
    hits = WikiIndex(tmp_path / "index").search("Obama", 5)
    assert len(hits) == 5
    assert hits[0].page_id == "0"


def test_a_new_index_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "index"
    for title in ("Old", "New"):
        build_index([Page("1", title, "Text.")], path, source="test")
    assert WikiIndex(path).title("1") == "New"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("bad"), MemoryError])
def test_a_build_that_fails_leaves_the_old_index_as_it_was(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "index"
    build_index([Page("1", "Old", "Text.")], path, source="test")

    def items() -> Iterator[Page]:
        yield from (Page(str(n), "New", "Text.") for n in range(1000))
        raise error

    with pytest.raises(BaseException):  # noqa: B017, PT011
        build_index(items(), path, source="test")
    assert WikiIndex(path).title("1") == "Old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="not a wiki index"):
        build_index(PAGES, tmp_path, source="test")
    with pytest.raises(FileExistsError, match="is a file"):
        build_index(PAGES, tmp_path / "thesis.txt", source="test")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_the_next_build_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from drawbar_wiki_search.building import build_index\n"
        "def items():\n    os.kill(os.getpid(), signal.SIGKILL)\n    yield\n"
        "build_index(items(), Path(sys.argv[1]) / 'index', source='test')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment, check=False)
    [litter] = tmp_path.iterdir()
    assert litter.name.startswith(".index.new-")
    build_index(PAGES, tmp_path / "index", source="test")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (None, "There is no wiki index"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        (json.dumps({"format": 1}), "has format 1"),
    ],
)
def test_what_is_no_index_is_a_clear_error(tmp_path: Path, manifest: str | None, said: str) -> None:
    if manifest is not None:
        (tmp_path / "wiki-index.json").write_text(manifest)
    with pytest.raises(BadIndex, match=said):
        WikiIndex(tmp_path)


def test_an_index_whose_files_are_gone_is_damaged(tmp_path: Path) -> None:
    build_index(PAGES, tmp_path / "index", source="test")
    (tmp_path / "index" / "meta.json").write_text("{")
    with pytest.raises(BadIndex, match="damaged"):
        WikiIndex(tmp_path / "index")


def test_the_snippet_shows_the_words_wherever_in_the_page_they_stand(tmp_path: Path) -> None:
    filler = "\n\n".join("Nothing of note happened in that year, or the next." for _ in range(500))
    text = f"{filler}\n\n## Histories\n\nThe zeppelin factory burned down in 1911.\n\n{filler}"
    build_index([Page("1", "Town", text)], tmp_path / "index", source="test")
    [hit] = WikiIndex(tmp_path / "index").search("zeppelin factory fire", 5)
    assert hit.snippet.startswith("The zeppelin factory burned down in 1911")
