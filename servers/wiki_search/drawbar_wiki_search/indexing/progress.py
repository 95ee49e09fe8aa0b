"""How far the building is, on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from drawbar.errors import ConfigurationError
from drawbar_wiki_search.indexing.reading import Reading
from drawbar_wiki_search.pages import Page, Redirect

_Item = TypeVar("_Item")

_REFRESH: Final = 0.2
_LINE_EVERY: Final = 10.0
"""Seconds between updates of the bar, and between lines where there is no terminal."""


def counted(items: Iterable[Page | Redirect], reading: Reading, limit: int | None) -> Generator[Page | Redirect]:
    """The items, counted into `reading`, up to `limit` pages.

    Raises:
        ConfigurationError: there is no page among them; an index of nothing would only hide that.
    """
    for item in items:
        if isinstance(item, Page):
            reading.pages += 1
        else:
            reading.redirects += 1
        yield item
        if reading.pages == limit:
            return
    if not reading.pages:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in reading.skipped.most_common())
        raise ConfigurationError(f"The source holds no page ({reasons or 'it is empty'}).")


def shown(items: Iterable[_Item], reading: Reading, *, quiet: bool) -> Generator[_Item]:
    """The items, with the progress of `reading` shown while they pass."""
    console = Console(stderr=True, highlight=False)
    if quiet:
        yield from items
    else:
        yield from (_bar if console.is_terminal else _lines)(items, reading, console)


def _bar(items: Iterable[_Item], reading: Reading, console: Console) -> Generator[_Item]:
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), DownloadColumn()),
        *(TextColumn("{task.fields[speed]}"), TimeRemainingColumn()),
    )
    started = time.monotonic()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading", total=reading.total_bytes, speed="")
        due = 0.0
        for item in items:
            yield item
            if (now := time.monotonic()) >= due:
                due = now + _REFRESH
                progress.update(task, completed=reading.finished_bytes, speed=_speed(reading, now - started))
        progress.update(task, description="writing", completed=reading.total_bytes)


def _lines(items: Iterable[_Item], reading: Reading, console: Console) -> Generator[_Item]:
    started = time.monotonic()
    due = started + _LINE_EVERY
    for item in items:
        yield item
        if (now := time.monotonic()) >= due:
            due = now + _LINE_EVERY
            share = reading.finished_bytes / max(1, reading.total_bytes)
            left = (now - started) * (1 - share) / share if share else 0.0
            console.print(
                f"{share:.0%} read, {reading.pages:,} pages, {_speed(reading, now - started)}, about {left:,.0f} s left"
            )


def _speed(reading: Reading, seconds: float) -> str:
    return f"{reading.pages / seconds:,.0f} pages/s" if seconds > 0 else ""
