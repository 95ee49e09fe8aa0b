"""A real excerpt of the English Wikipedia, where it is at hand: no markup is left, and facts are found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drawbar_wiki_search.building import build_index
from drawbar_wiki_search.index import WikiIndex
from drawbar_wiki_search.indexing.sources import Source
from drawbar_wiki_search.pages import Page, Redirect

EXCERPT = Path(__file__).parents[4] / "shared" / "data" / "enwiki-106.xml.bz2"
pytestmark = pytest.mark.skipif(not EXCERPT.exists(), reason=f"the excerpt {EXCERPT.name} is not at hand")


@pytest.fixture(scope="module")
def items() -> list[Page | Redirect]:
    source = Source.at(EXCERPT)
    reading = source.reading()
    found = list(source.items(reading, jobs=2))
    assert not reading.rough
    assert sum(reading.skipped.values()) == 1  # a redirect of a user's talk page
    return found


@pytest.fixture(scope="module")
def index(items: list[Page | Redirect], tmp_path_factory: pytest.TempPathFactory) -> WikiIndex:
    path = tmp_path_factory.mktemp("wiki") / "index"
    build_index(items, path, source=str(EXCERPT))
    return WikiIndex(path)


def test_every_page_and_redirect_is_there(items: list[Page | Redirect]) -> None:
    assert len(items) == 205
    assert sum(isinstance(item, Page) for item in items) == 106


def test_no_markup_is_left(items: list[Page | Redirect]) -> None:
    marks = re.compile(
        r"\{\{|\}\}|\[\[|\]\]|\{\||\||'''|</?(?:ref|br|div|span|small|sup|sub|table)\b|&(?:nbsp|amp|lt);|\(\)"
    )
    left = [
        (item.title, item.text[max(0, match.start() - 30) : match.end() + 30])
        for item in items
        if isinstance(item, Page)
        for match in marks.finditer(item.text)
    ]
    assert left == []


def test_sections_are_bounded_and_those_that_point_elsewhere_are_gone(
    index: WikiIndex, items: list[Page | Redirect]
) -> None:
    for item in items:
        sections = index.sections(item.id) or [] if isinstance(item, Page) else []
        assert all(len(section.text.split()) <= 800 for section in sections)
        assert not {"References", "External links", "See also"} & {section.title for section in sections}


@pytest.mark.parametrize(
    ("question", "title", "fact"),
    [
        ("physicist born in Ulm who won the Nobel Prize in Physics", "Albert Einstein", "14 March 1879"),
        ("assassinated president Gettysburg Address", "Abraham Lincoln", "John Wilkes Booth"),
        ("highest mountain of Alaska", "Alaska", "Anchorage"),
        ("nocturnal mammal native to Africa that eats ants and termites", "Aardvark", "termites"),
        ("character encoding seven bits teleprinter", "ASCII", "128"),
        ("author of Brave New World", "Aldous Huxley", "Brave New World"),
        ("martial art Morihei Ueshiba", "Aikido", "Ueshiba"),
        ("hero of the Trojan War and his heel", "Achilles", "Patroclus"),
    ],
)
def test_known_facts_are_found(index: WikiIndex, question: str, title: str, fact: str) -> None:
    hits = index.search(question, 3)
    hit = next((hit for hit in hits if hit.title == title), None)
    assert hit is not None, [hit.title for hit in hits]
    assert any(fact in section.text for section in index.sections(hit.page_id) or ())


@pytest.mark.parametrize(
    ("redirect", "title"),
    [
        ("AssistiveTechnology", "Assistive technology"),
        ("AynRand", "Ayn Rand"),
        ("ANOVA", "Analysis of variance"),
        ("AfroAsiaticLanguages", "Afroasiatic languages"),
        ("AnAmericanInParis", "An American in Paris"),
    ],
)
def test_a_redirects_title_gives_its_target(index: WikiIndex, redirect: str, title: str) -> None:
    assert index.search(redirect, 3)[0].title == title
    page_id = index.by_title(redirect)
    assert page_id is not None
    assert index.title(page_id) == title
