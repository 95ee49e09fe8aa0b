"""The search index: BM25 over titles, aliases and bodies, by tantivy. Reading only; `building` writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tantivy

from drawbar_wiki_search.layout import FORMAT, MANIFEST, analyzer, open_index
from drawbar_wiki_search.pages import Section, split_sections

_BOOSTS: Final = {"title": 4.0, "aliases": 3.0, "body": 1.0}
_REDIRECT_BOOST: Final = {"redirect": 3.0}
_REDIRECT_HITS: Final = 4
"""How many redirects are looked at for each page wanted; many of them lead to the same page."""
_MAX_REDIRECTS: Final = 5
_MAX_QUERY_WORDS: Final = 64
_SNIPPET_CHARS: Final = 240
_SNIPPET_SOURCE_CHARS: Final = 2_000
"""Snippets are looked for in this much of a page's best paragraph: finding one takes time with its length."""
_SEARCHED_CHARS: Final = 50_000
"""The best paragraph is looked for in this much of a page's beginning."""
_STOP_WORDS: Final = frozenset(
    "a an and are as at be been but by did do does for from had has have he her him his how i if in into "
    "is it its me my no not of on or our she so than that the their them then there these they this those "
    "to was we were what when where which while who whom whose why will with would you your".split()
)
"""Left out of a query that has other words: they say nothing about a page, yet weigh in short titles, and take time."""


class BadIndex(ValueError):
    """An index that is not there, is damaged, or was written by another version; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One page that a search found, best first."""

    page_id: str
    title: str
    snippet: str
    score: float


class WikiIndex:
    """A read-only index, safe to share between threads and sessions.

    Raises:
        BadIndex: there is none at this path, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = _manifest(path)
        try:
            self._index = open_index(path)
        except (ValueError, OSError) as error:
            raise BadIndex(f"The wiki index at {path} is damaged ({error}). Build it again.") from error
        self._searcher = self._index.searcher()
        self._analyzer = analyzer()

    def __len__(self) -> int:
        return int(self.manifest["pages"])

    def search(self, query: str, limit: int) -> list[Hit]:
        """The pages that match any of the query's words, best first; titles and aliases weigh more than bodies.

        A page whose very title (or redirect) is the query comes first.
        """
        terms = self._terms(query)
        if not terms or limit < 1:
            return []
        parsed = self._any_of(terms, _BOOSTS)
        found = self._found(parsed, terms, limit)
        best = max((score for score, _ in found.values()), default=0.0)
        if (exact := self._titled(query)) is not None:
            found[exact["id"][0]] = (best + 1.0, exact)
        snippets = tantivy.SnippetGenerator.create(self._searcher, parsed, self._index.schema, "body")
        snippets.set_max_num_chars(_SNIPPET_CHARS)
        ranked = sorted(found.items(), key=lambda item: -item[1][0])[:limit]
        stems = [term.removesuffix("i") for term in terms]  # "histori" is what stemming makes of history
        return [
            Hit(id, doc["name"][0], _snippet(snippets, doc["body"][0], stems), score) for id, (score, doc) in ranked
        ]

    def title(self, page_id: str) -> str | None:
        """The title of a page, None if there is no such page."""
        doc = self._one("id", page_id)
        return None if doc is None else doc["name"][0]

    def sections(self, page_id: str) -> list[Section] | None:
        """The sections of a page, None if there is no such page."""
        doc = self._one("id", page_id)
        return None if doc is None else list(split_sections(page_id, doc["body"][0]))

    def section(self, section_id: str) -> Section | None:
        """One section, None if there is no such one."""
        page_id = section_id.rpartition(":")[0]
        return next((s for s in self.sections(page_id) or () if s.id == section_id), None)

    def by_title(self, title: str) -> str | None:
        """The id of the page of this very title, redirects followed."""
        page = self._page(self._one("name", title))
        return None if page is None else str(page["id"][0])

    def _terms(self, query: str) -> list[str]:
        words = re.findall(r"\w+", query.lower())[:_MAX_QUERY_WORDS]
        telling = [word for word in words if word not in _STOP_WORDS]
        return list(dict.fromkeys(self._analyzer.analyze(" ".join(telling or words))))

    def _any_of(self, terms: list[str], boosts: dict[str, float]) -> tantivy.Query:
        query, any_of = tantivy.Query, tantivy.Occur.Should
        return query.boolean_query(
            [
                (any_of, query.boost_query(query.term_query(self._index.schema, field, term), boost))
                for term in terms
                for field, boost in boosts.items()
            ]
        )

    def _found(self, parsed: tantivy.Query, terms: list[str], limit: int) -> dict[str, tuple[float, tantivy.Document]]:
        """Candidates by id, with their scores: pages that match, and pages that a matching redirect leads to."""
        found: dict[str, tuple[float, tantivy.Document]] = {}
        for score, address in self._searcher.search(parsed, limit * 2, count=False).hits:
            page = self._searcher.doc(address)
            found.setdefault(page["id"][0], (float(score), page))
        targets: dict[str, float] = {}
        redirects = self._any_of(terms, _REDIRECT_BOOST)
        for score, address in self._searcher.search(redirects, limit * _REDIRECT_HITS, count=False).hits:
            targets.setdefault(self._searcher.doc(address)["target"][0], float(score))
        for target, score in targets.items():
            if (doc := self._page(self._one("name", target))) is not None:
                own, _ = found.get(doc["id"][0], (0.0, None))
                found[doc["id"][0]] = (own + score, doc)
        return found

    def _titled(self, query: str) -> tantivy.Document | None:
        """The page whose title or redirect is the query, but for the case of its words' first letters."""
        name = " ".join(query.split())
        spellings = dict.fromkeys((name, name[:1].upper() + name[1:], name.title()))
        pages = (self._page(self._one("name", spelling)) for spelling in spellings)
        return next((page for page in pages if page is not None), None)

    def _one(self, field: str, value: str) -> tantivy.Document | None:
        term = tantivy.Query.term_query(self._index.schema, field, value)
        found = self._searcher.search(term, 1, count=False).hits
        return self._searcher.doc(found[0][1]) if found else None

    def _page(self, doc: tantivy.Document | None) -> tantivy.Document | None:
        """The document itself if it is a page, what it leads to if it is a redirect."""
        for _ in range(_MAX_REDIRECTS):
            if doc is None or not doc["target"]:
                return doc
            doc = self._one("name", doc["target"][0])
        return None


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / MANIFEST).read_text("utf-8"))
        version = manifest.get("format")
    except (FileNotFoundError, NotADirectoryError):
        raise BadIndex(
            f"There is no wiki index at {path}. Build one with `drawbar-wiki-index SOURCE {path}`."
        ) from None
    except (ValueError, AttributeError, OSError) as error:
        raise BadIndex(f"The wiki index at {path} is damaged ({error}). Build it again.") from error
    if version != FORMAT:
        raise BadIndex(f"The wiki index at {path} has format {version}, this version reads {FORMAT}. Build it again.")
    return dict(manifest)


def _snippet(generator: tantivy.SnippetGenerator, body: str, stems: Sequence[str]) -> str:
    best = _best_paragraph(body, stems)[:_SNIPPET_SOURCE_CHARS]
    text = generator.snippet_from_doc(tantivy.Document(body=best)).fragment() or body[:_SNIPPET_CHARS]
    return " ".join(re.sub(r"^#+ +", "", text, flags=re.M).split())


def _best_paragraph(body: str, stems: Sequence[str]) -> str:
    """The line with most of the terms, long ones weighing more; found by plain text search, which is quick."""
    lines, best, most = body[:_SEARCHED_CHARS].split("\n"), 0, 0
    for number, line in enumerate(lines):
        line = line.lower()
        score = sum(len(stem) for stem in stems if stem in line)
        if score > most:
            best, most = number, score
    return lines[best]
