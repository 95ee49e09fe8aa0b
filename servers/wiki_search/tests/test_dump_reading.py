"""Dumps as streams: what becomes of each page, and what a damaged file gets."""

from __future__ import annotations

import bz2
import gzip
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import psutil  # type: ignore[import-untyped]
import pytest

from drawbar.errors import ConfigurationError
from drawbar_wiki_search.indexing.reading import Reading
from drawbar_wiki_search.indexing.sources import Source
from drawbar_wiki_search.indexing.workers import Rough, convert
from drawbar_wiki_search.pages import Page, Redirect

HEADER = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="en">
<siteinfo><sitename>W</sitename><dbname>w</dbname><base>b</base><generator>g</generator><case>first-letter</case>
<namespaces><namespace key="0" case="first-letter" /><namespace key="4" case="first-letter">Wikipedia</namespace>
</namespaces></siteinfo>
"""


def page(number: int, title: str, text: str, *, ns: int = 0, redirect: str | None = None) -> str:
    target = f'<redirect title="{escape(redirect)}" />' if redirect else ""
    return (
        f"<page><title>{escape(title)}</title><ns>{ns}</ns><id>{number}</id>{target}<revision><id>{number}</id>"
        "<timestamp>2014-10-26T04:50:23Z</timestamp><contributor><username>U</username><id>1</id></contributor>"
        f'<model>wikitext</model><format>text/x-wiki</format><text xml:space="preserve">{escape(text)}</text>'
        "<sha1>x</sha1></revision></page>\n"
    )


def dump(*pages: str) -> bytes:
    return (HEADER + "".join(pages) + "</mediawiki>\n").encode()


THREE = dump(page(1, "Aa", "One '''a'''."), page(2, "Bb", "Two."), page(3, "Cc", "Three."))


def read(path: Path, jobs: int = 1) -> tuple[list[Page | Redirect], Reading]:
    source = Source.at(path)
    reading = source.reading()
    return list(source.items(reading, jobs=jobs)), reading


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("w.xml", bytes),
        ("w.xml.bz2", bz2.compress),
        ("w.xml.gz", gzip.compress),
        (
            "multistream.xml.bz2",
            lambda data: b"".join(bz2.compress(data[i : i + 300]) for i in range(0, len(data), 300)),
        ),
    ],
)
def test_a_dump_is_read_however_it_is_packed(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / name).write_bytes(pack(THREE))
    items, reading = read(tmp_path / name)
    assert items == [Page("1", "Aa", "One a."), Page("2", "Bb", "Two."), Page("3", "Cc", "Three.")]
    assert 0 < reading.finished_bytes <= reading.total_bytes


def test_redirects_keep_their_place_and_other_namespaces_and_empty_pages_are_counted_out(tmp_path: Path) -> None:
    path = tmp_path / "w.xml"
    path.write_bytes(
        dump(
            page(1, "A", "", redirect="B_c#Part"),
            page(2, "Wikipedia:X", "talk", ns=4),
            page(3, "B c", "Text."),
            page(4, "Old", "#REDIRECT [[b c]]"),
            page(5, "P", "", redirect="Wikipedia:X"),
            page(6, "Box", "{{infobox}}"),
        )
    )
    items, reading = read(path)
    assert items == [Redirect("A", "B c"), Page("3", "B c", "Text."), Redirect("Old", "B c")]
    assert dict(reading.skipped) == {
        "not an article": 1,
        "redirect to what is not an article": 1,
        "without text": 1,
    }


def test_pages_come_in_the_dumps_order_whatever_takes_longest(tmp_path: Path) -> None:
    path = tmp_path / "w.xml"
    path.write_bytes(dump(*(page(n, f"P{n}", "[[a|b]] " * (3000 if n % 7 == 0 else 3)) for n in range(1, 60))))
    items, _ = read(path, jobs=3)
    assert [item.title for item in items] == [f"P{n}" for n in range(1, 60)]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("w.xml.bz2", bz2.compress(THREE)[:-60], "compressed data is damaged or cut short near byte"),
        ("w.xml.bz2", b"no bzip2 at all", "compressed data is damaged"),
        ("w.xml.gz", gzip.compress(THREE)[:-60], "compressed data is damaged or cut short near byte"),
        ("w.xml", THREE[:-200], "XML breaks off or is malformed"),
        ("w.xml", THREE.replace(b"<text", b"<<text"), r"malformed \(not well-formed.*line \d"),
        ("w.xml", b"", "before its first page"),
        ("w.xml", b"<html></html>", "begins with <html>"),
        ("w.xml", HEADER.encode() + b"<page><id>x</id></page></mediawiki>", "not a MediaWiki dump as it should be"),
    ],
)
def test_a_damaged_dump_is_an_error_that_names_the_place(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigurationError, match=said) as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_the_error_names_the_page_before_the_damage(tmp_path: Path) -> None:
    (tmp_path / "w.xml").write_bytes(THREE.replace(b"Three.", b"<b>Three."))
    with pytest.raises(ConfigurationError, match=r"after the page '(Bb|Cc)'"):
        read(tmp_path / "w.xml")


def test_a_page_that_kills_its_process_is_kept_roughly_and_the_others_are_not_touched() -> None:
    def items() -> Iterator[Page]:
        yield Page("1", "A", "'''a'''")
        yield Page("2", "B", "'''b'''")
        [victim] = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
        victim.kill()
        yield Page("3", "C", "'''c'''")
        yield Page("4", "D", "'''d'''")

    results = list(convert(items(), jobs=1))
    [rough] = [item for item in results if isinstance(item, Rough)]
    assert rough.reason == "broke the markup parser"
    pages = [item.page if isinstance(item, Rough) else item for item in results]
    assert pages == [Page(str(n), title, title.lower()) for n, title in enumerate("ABCD", 1)]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_page_that_takes_too_long_is_kept_roughly() -> None:
    def items() -> Iterator[Page]:
        yield Page("1", "A", "'''a'''")
        slow: list[psutil.Process] = []
        while not slow:  # between its fork and its exec, a child still has its parent's command line
            slow = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
        os.kill(slow[0].pid, signal.SIGSTOP)

    assert list(convert(items(), jobs=1, patience=0.2)) == [Rough(Page("1", "A", "a"), "took over 0.2 s to read")]


def test_closing_the_iterator_ends_the_processes() -> None:
    results = convert((Page(str(n), "T", "x") for n in range(1000)), jobs=2)
    next(results)
    results.close()
    assert not [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
