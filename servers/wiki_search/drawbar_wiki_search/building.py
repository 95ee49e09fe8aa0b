"""Writing an index: whole or not at all. What stands at its place stays untouched until the new one is complete."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import tantivy

from drawbar_wiki_search.layout import FORMAT, MANIFEST, open_index
from drawbar_wiki_search.pages import Page, Redirect

_WRITER_HEAP: Final = 128_000_000
_LOST_RACES: Final = 10
_STOPPED: Final = "its writer stopped (a disk quota, a limit on the size of files, or too little memory?)"


def build_index(
    items: Iterable[Page | Redirect], path: Path, *, source: str, progress: Callable[[int], None] | None = None
) -> int:
    """Write a new index of these pages and put it in place of whatever index stands at `path`, whole or not at all.

    Args:
        source: Where the pages come from, for the manifest.
        progress: Called with the number of items so far.

    Returns:
        The number of pages.

    Raises:
        FileExistsError: `path` holds something that is not an index.
        OSError: the index cannot be written.
    """
    pages = redirects = 0
    with _replacing(path) as fresh, _writing(fresh) as writer:
        for item in items:
            if isinstance(item, Redirect):
                redirects += 1
            else:
                pages += 1
            writer.add(item)
            if progress is not None:
                progress(pages + redirects)
        writer.finish()
        manifest = {"format": FORMAT, "pages": pages, "redirects": redirects, "source": source}
        (fresh / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    return pages


class _Writer:
    """A tantivy writer whose trouble is an OSError."""

    def __init__(self, folder: Path) -> None:
        try:
            self._writer: Any = open_index(folder).writer(heap_size=_WRITER_HEAP, num_threads=1)
        except ValueError as error:
            _raise(error, folder)
        self._folder = folder

    def add(self, item: Page | Redirect) -> None:
        if isinstance(item, Redirect):
            document = tantivy.Document(name=item.title, redirect=item.title, target=item.target)
        else:
            aliases = " / ".join(item.aliases)
            document = tantivy.Document(id=item.id, name=item.title, title=item.title, aliases=aliases, body=item.text)
        try:
            self._writer.add_document(document)
        except ValueError as error:
            _raise(error, self._folder)

    def finish(self) -> None:
        try:
            self._writer.commit()
            self._writer.wait_merging_threads()
        except ValueError as error:
            _raise(error, self._folder)

    def abandon(self) -> None:
        """End the writer's threads, so that nothing is written into the folder any more."""
        self._writer = None


@contextmanager
def _writing(folder: Path) -> Iterator[_Writer]:
    writer = _Writer(folder)
    try:
        yield writer
    finally:
        writer.abandon()


def _raise(error: ValueError, folder: Path) -> NoReturn:
    """The error of the operating system that tantivy's message quotes; of a writer that died, it only says so."""
    said = str(error)
    found = re.search(r"code: (\d+)|os error (\d+)", said)
    number = int(found[1] or found[2]) if found else _full(folder)
    raise OSError(number, os.strerror(number) if number else _STOPPED) from error


def _full(folder: Path) -> int:
    """ENOSPC if that is evidently why writing failed: the writer's thread takes its reason with it."""
    try:
        return errno.ENOSPC if shutil.disk_usage(folder).free < 1_000_000 else 0
    except OSError:
        return 0


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that takes its place when the block ends well, and vanishes when it does not."""
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file. Name a folder for the index.")
    if path.exists() and not (path / MANIFEST).exists() and any(path.iterdir()):
        raise FileExistsError(f"{path} holds something that is not a wiki index. Name another folder.")
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    fresh, old = (path.with_name(f".{path.name}.{kind}-{os.getpid()}") for kind in ("new", "old"))
    fresh.mkdir()
    try:
        yield fresh
        _swap(fresh, path, old)
    finally:
        if old.exists() and not path.exists():  # interrupted between the two steps of the swap
            old.rename(path)
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _swap(fresh: Path, path: Path, old: Path) -> None:
    for attempt in range(_LOST_RACES):  # another process may put its own index there between the two steps
        try:
            if path.exists():
                path.rename(old)
            fresh.rename(path)
            return
        except OSError:
            shutil.rmtree(old, ignore_errors=True)
            if attempt == _LOST_RACES - 1:
                raise


def _sweep(path: Path) -> None:
    """Remove what builds left behind that were killed."""
    for leftover in path.parent.glob(f".{path.name}.*-*"):
        kind, _, pid = leftover.name.rpartition(".")[2].partition("-")
        if kind in ("new", "old") and pid.isdigit() and (int(pid) == os.getpid() or not _alive(int(pid))):
            shutil.rmtree(leftover, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there and belongs to someone else
        return True
    return True
