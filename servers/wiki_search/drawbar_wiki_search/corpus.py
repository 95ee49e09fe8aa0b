"""The corpus that ships with the environment: articles and questions written for it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from drawbar_wiki_search.building import build_index
from drawbar_wiki_search.index import WikiIndex
from drawbar_wiki_search.layout import FORMAT
from drawbar_wiki_search.pages import Page

DATA = Path(str(files(__package__) / "data"))
QUESTIONS = DATA / "questions.jsonl"


def articles(folder: Path = DATA / "articles") -> Iterator[Page]:
    """The articles, by name of their files: `# Title`, a lead, and sections under `## ` headings."""
    for file in sorted(folder.glob("*.md")):
        title, _, text = file.read_text("utf-8").partition("\n")
        yield Page(id=file.stem, title=title.removeprefix("# ").strip(), text=text.strip())


def open_corpus() -> WikiIndex:
    """The index of the shipped articles, built on first use (a fraction of a second) and kept in the user's cache.

    Its folder is named by the content's digest, so that a changed corpus never meets an old index.
    """
    pages = list(articles())
    content = hashlib.blake2b(repr((FORMAT, pages)).encode(), digest_size=8).hexdigest()
    path = _cache() / f"corpus-{content}"
    if not (path / "wiki-index.json").exists():
        build_index(pages, path, source="the corpus that ships with drawbar-wiki-search")
    return WikiIndex(path)


def _cache() -> Path:
    """Where indexes may be kept between runs; a temporary folder where the home is read-only."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drawbar" / "wiki_search"
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="drawbar-wiki-"))
    return base
