"""What an index folder holds, for its writer and its reader: the fields, how words become terms, the manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import tantivy

FORMAT: Final = 3
"""Grows when an older index can no longer be read."""
MANIFEST: Final = "wiki-index.json"
_TOKENIZER: Final = "wiki"


def schema() -> tantivy.Schema:
    """The fields of a page (`id`, `name`, `title`, `aliases`, `body`) and of a redirect (`name`, `redirect`, `target`).

    A redirect's title has a field of its own, so that the many titles of one page never crowd out other pages.
    """
    builder = tantivy.SchemaBuilder()
    for name in ("id", "name", "target"):  # word for word; `name` is the title of the page or redirect
        builder.add_text_field(name, stored=True, tokenizer_name="raw", index_option="basic")
    for name in ("title", "aliases", "redirect"):
        builder.add_text_field(name, stored=False, tokenizer_name=_TOKENIZER)
    builder.add_text_field("body", stored=True, tokenizer_name=_TOKENIZER)
    return builder.build()


def analyzer() -> tantivy.TextAnalyzer:
    """How a text becomes terms: lower case, without accents (`Gjøa` is found as `gjoa`), English stems."""
    filters = tantivy.Filter
    steps = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for step in (filters.remove_long(40), filters.lowercase(), filters.ascii_fold(), filters.stemmer("English")):
        steps = steps.filter(step)
    return steps.build()


def open_index(folder: Path) -> tantivy.Index:
    """The index in this folder, made if there is none. Raises `ValueError` or `OSError` when it cannot be read."""
    index = tantivy.Index(schema(), path=str(folder))
    index.register_tokenizer(_TOKENIZER, analyzer())
    return index
