"""The search index: BM25 over titles, aliases and bodies, by tantivy. A folder that is only ever replaced whole."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tantivy

from drawbar_wiki_search.pages import Page, Redirect, Section, split_sections

FORMAT: Final = 1
"""Grows when an older index can no longer be read."""
_MANIFEST: Final = "wiki-index.json"
_BOOSTS: Final = {"title": 4.0, "aliases": 3.0, "body": 1.0}
_MAX_REDIRECTS: Final = 5
_MAX_QUERY_WORDS: Final = 64
_SNIPPET_CHARS: Final = 240
_SNIPPET_SOURCE_CHARS: Final = 20_000
"""Snippets are looked for in this much of a page's beginning: finding one costs time with the length of the text."""
_WRITER_HEAP: Final = 128_000_000


class BadIndex(ValueError):
    """An index that is not there, is damaged, or was written by another version; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One page that a search found, best first."""

    page_id: str
    title: str
    snippet: str
    score: float


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("name", stored=True, tokenizer_name="raw", index_option="basic")  # the title, word for word
    builder.add_text_field("title", stored=False, tokenizer_name="en_stem")
    builder.add_text_field("aliases", stored=False, tokenizer_name="en_stem")
    builder.add_text_field("body", stored=True, tokenizer_name="en_stem")
    builder.add_text_field("target", stored=True, tokenizer_name="raw", index_option="basic")  # of a redirect
    return builder.build()


class WikiIndex:
    """A read-only index, safe to share between threads and sessions.

    Raises:
        BadIndex: there is none at this path, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.manifest: dict[str, Any] = json.loads((path / _MANIFEST).read_text("utf-8"))
        except FileNotFoundError:
            raise BadIndex(
                f"There is no wiki index at {path}. Build one with `drawbar-wiki-index SOURCE {path}`."
            ) from None
        except ValueError as error:
            raise BadIndex(f"The wiki index at {path} is damaged ({error}). Build it again.") from error
        if self.manifest.get("format") != FORMAT:
            raise BadIndex(
                f"The wiki index at {path} has format {self.manifest.get('format')}; this version reads {FORMAT}."
                " Build it again."
            )
        try:
            self._index = tantivy.Index(_schema(), path=str(path))
        except (ValueError, OSError) as error:
            raise BadIndex(f"The wiki index at {path} is damaged ({error}). Build it again.") from error
        self._searcher = self._index.searcher()

    def __len__(self) -> int:
        return int(self.manifest["pages"])

    def search(self, query: str, limit: int) -> list[Hit]:
        """The pages that match any of the query's words, best first; titles and aliases weigh more than bodies."""
        words = re.findall(r"\w+", query.lower())[:_MAX_QUERY_WORDS]
        if not words:
            return []
        parsed, _ = self._index.parse_query_lenient(" ".join(words), list(_BOOSTS), field_boosts=_BOOSTS)
        snippets = tantivy.SnippetGenerator.create(self._searcher, parsed, self._index.schema, "body")
        snippets.set_max_num_chars(_SNIPPET_CHARS)
        hits: dict[str, Hit] = {}
        for score, address in self._searcher.search(parsed, limit * 2).hits:
            doc = self._page(self._searcher.doc(address))
            if doc is not None and (page_id := doc["id"][0]) not in hits:
                hits[page_id] = Hit(page_id, doc["name"][0], _snippet(snippets, doc["body"][0]), float(score))
            if len(hits) == limit:
                break
        return list(hits.values())

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
        doc = self._one("name", title)
        page = None if doc is None else self._page(doc)
        return None if page is None else str(page["id"][0])

    def _one(self, field: str, value: str) -> tantivy.Document | None:
        found = self._searcher.search(tantivy.Query.term_query(self._index.schema, field, value), 1).hits
        return self._searcher.doc(found[0][1]) if found else None

    def _page(self, doc: tantivy.Document | None) -> tantivy.Document | None:
        """The document itself if it is a page, what it leads to if it is a redirect."""
        for _ in range(_MAX_REDIRECTS):
            if doc is None or not doc["target"]:
                return doc
            doc = self._one("name", doc["target"][0])
        return None


def _snippet(generator: tantivy.SnippetGenerator, body: str) -> str:
    short = tantivy.Document(body=body[:_SNIPPET_SOURCE_CHARS])
    text = generator.snippet_from_doc(short).fragment() or body[:_SNIPPET_CHARS]
    return " ".join(re.sub(r"^#+ +", "", text, flags=re.M).split())


def build_index(
    items: Iterable[Page | Redirect], path: Path, *, source: str, progress: Callable[[int], None] | None = None
) -> int:
    """Write a new index of these pages and put it in place of whatever stands at `path`, whole or not at all.

    Args:
        source: Where the pages come from, for the manifest.
        progress: Called with the number of items so far.

    Returns:
        The number of pages.
    """
    with _replacing(path) as fresh:
        index = tantivy.Index(_schema(), path=str(fresh))
        writer = index.writer(heap_size=_WRITER_HEAP, num_threads=1)
        pages = redirects = 0
        for item in items:
            if isinstance(item, Redirect):
                redirects += 1
                writer.add_document(tantivy.Document(name=item.title, title=item.title, target=item.target))
            else:
                pages += 1
                aliases = " / ".join(item.aliases)
                writer.add_document(
                    tantivy.Document(id=item.id, name=item.title, title=item.title, aliases=aliases, body=item.text)
                )
            if progress is not None:
                progress(pages + redirects)
        writer.commit()
        writer.wait_merging_threads()
        manifest = {"format": FORMAT, "pages": pages, "redirects": redirects, "source": source}
        (fresh / _MANIFEST).write_text(json.dumps(manifest), "utf-8")
    return pages


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that takes its place when the block ends well, and vanishes when it does not."""
    if path.exists() and not (path / _MANIFEST).exists() and any(path.iterdir()):
        raise FileExistsError(f"{path} holds something that is not a wiki index. Name another folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (path.with_name(f".{path.name}.{kind}-{os.getpid()}") for kind in ("new", "old"))
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
        if path.exists():
            path.rename(old)
        fresh.rename(path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
