"""Wikipedia XML dumps as a stream of pages and redirects. Only a few pages are in memory at any time.

The format: https://www.mediawiki.org/wiki/Help:Export#Export_format
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final
from xml.etree.ElementTree import ParseError

from drawbar.errors import ConfigurationError
from drawbar_wiki_search.indexing.headings import bounded
from drawbar_wiki_search.indexing.reading import CountedFile, Reading, is_damage, library, opened
from drawbar_wiki_search.indexing.workers import Rough, convert
from drawbar_wiki_search.pages import Page, Redirect

_REDIRECT: Final = re.compile(r"\s*#\s*redirect(?:ion)?\s*:?\s*\[\[\s*:?([^\[\]|#]+)", re.I)


def dump_items(path: Path, reading: Reading, *, jobs: int) -> Generator[Page | Redirect]:
    """The articles and redirects of a dump in its order, markup turned into text by `jobs` processes.

    Raises:
        ConfigurationError: the file is damaged or no dump; says where. Or a library that reads dumps is not installed.
    """
    library("mwparserfromhell")
    with closing(convert(_markup(path, reading), jobs=jobs)) as results:
        for item in results:
            if isinstance(item, Redirect):
                yield item
                continue
            if isinstance(item, Rough):
                reading.rough[item.reason] += 1
            page = item.page if isinstance(item, Rough) else item
            if page.text:
                yield replace(page, text=bounded(page.text))
            else:
                reading.skipped["without text"] += 1


def _markup(path: Path, reading: Reading) -> Iterator[Page | Redirect]:
    """The same with the pages' text still as markup."""
    last, start = "", reading.finished_bytes
    with opened(path) as (content, raw):
        try:
            for page, namespaces in _pages(content):
                reading.finished_bytes = start + raw.count
                last = page.title or last
                if (item := _item(page, namespaces, reading)) is not None:
                    yield item
        except (
            Exception
        ) as error:  # mwxml lets through whatever odd content raises: ValueError, TypeError, AssertionError
            raise _damaged(path, error, last, raw) from error


def _pages(content: IO[bytes]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """The pages of a dump, each with the names of the namespaces other than the articles' own."""
    mwxml, elements = library("mwxml"), library("mwxml.element_iterator")
    root = elements.ElementIterator.from_file(content)
    if root.tag != "mediawiki":
        raise ValueError(f"it begins with <{root.tag}> where a dump begins with <mediawiki>")
    dump = mwxml.Dump.from_element(root)
    named = tuple(f"{space.name.lower()}:" for space in dump.site_info.namespaces or () if space.id and space.name)
    for page in dump.pages:
        yield page, named
        root.element.clear()  # the parser keeps every page's empty shell otherwise: gigabytes in a large dump


def _item(page: Any, namespaces: tuple[str, ...], reading: Reading) -> Page | Redirect | None:
    """An article's last revision or a redirect; None for what is not indexed, counted by reason."""
    if page.namespace != 0:
        reading.skipped["not an article"] += 1
        return None
    target, markup = page.redirect, ""
    if target is None:
        for revision in page:
            markup = revision.slots["main"].text or ""
        match = _REDIRECT.match(markup)
        target = match[1] if match else None
    if target is None:
        return Page(str(page.id), page.title, markup)
    target = " ".join(target.partition("#")[0].replace("_", " ").split())
    if not target or target.lower().startswith(namespaces):
        reading.skipped["redirect to what is not an article"] += 1
        return None
    return Redirect(page.title, target[0].upper() + target[1:])


def _damaged(path: Path, error: Exception, last: str, raw: CountedFile) -> ConfigurationError:
    if isinstance(error, ConfigurationError):
        return error
    where = f"after the page {last!r}" if last else "before its first page"
    if isinstance(error, ParseError):
        reason = error.msg.partition(": b'")[0]  # mwxml appends what it read next
        what = f"its XML breaks off or is malformed ({reason})"
    elif is_damage(error):
        what = f"its compressed data is damaged or cut short near byte {raw.count:,} ({error})"
    elif isinstance(error, OSError):
        what = f"reading it failed at byte {raw.count:,} ({error.strerror})"
    else:
        what = f"it is not a MediaWiki dump as it should be ({str(error)[:120] or type(error).__name__})"
    return ConfigurationError(f"{path}: {what}, {where}. Fetch the file again and check its digest.")
