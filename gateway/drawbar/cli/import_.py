"""`drawbar import`: sessions out of files, our own and other programs', into a store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drawbar.cli.output import AsJson, StoreUrl, counted, note, print_json, store_url
from drawbar.cli.redacting import Config, redact_by
from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.importing.intake import Intake, Outcome
    from drawbar.record.store import Store

app = typer.Typer(add_completion=False)

PLAIN_SECONDS = 5.0
"""Between lines of progress where there is no terminal."""
_SHOWN = 20
"""Places that are told of one by one."""


def _formats(incomplete: str) -> list[str]:
    from drawbar.importing.formats import FORMATS

    return [name for name in FORMATS if name.startswith(incomplete)]


@app.command(name="import")
def import_(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Plain, .gz or .zst.", exists=True, dir_okay=False)
    ] = None,
    format: Annotated[
        str | None,
        typer.Option("--format", help="What the files are, if their content does not tell: see --formats.",
                     autocompletion=_formats),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing: say what would be taken.")] = False,
    formats: Annotated[bool, typer.Option("--formats", help="List the formats, and end.")] = False,
    store: StoreUrl = None,
    config: Config = None,
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:  # fmt: skip
    """Take sessions out of files into a store: raw exports, verifiers' traces, ATIF, OpenAI chat, Inspect logs.

    A session is taken once: the same file again adds nothing. One that is there with other content is left as it is,
    and said, as is every line that cannot be read; then the exit status is 1.
    """
    if formats:
        return _list_formats(json)
    if not files:
        raise ConfigurationError("Which file? `drawbar import --formats` lists what can be read.")
    from drawbar.importing.intake import Intake

    with _store(store, dry_run) as target:
        intake = Intake(target, redact_by(config), dry=dry_run)
        _take(intake, files, format, quiet)
    if json:
        print_json({"dry_run": dry_run, "store": store_url(store), **intake.outcome.to_json()})
    else:
        for line in _told(intake.outcome, dry_run=dry_run):
            typer.echo(line)
    if not intake.outcome.whole:
        raise typer.Exit(1)


@contextmanager
def _store(given: str | None, dry: bool) -> Iterator[Store | None]:
    """The store; None where there is none, and none is to be made."""
    from drawbar.record.store import Store

    url = store_url(given)
    path = url.removeprefix("sqlite:///")
    if dry and "://" not in path and not os.path.exists(path):
        yield None
        return
    store = Store.open(url, read_only=dry)
    try:
        yield store
    finally:
        store.close()


def _take(intake: Intake, files: list[Path], format: str | None, quiet: bool) -> None:
    from drawbar.importing.formats import format_named, format_of
    from drawbar.importing.opening import Source

    if format is not None:
        format_named(format)
    kinds = {path: format or format_of(Source(path)) for path in files}  # before anything is written
    with _progress(sum(path.stat().st_size for path in files), quiet) as listen:
        before = 0
        for path, kind in kinds.items():
            read = before

            def heard(size: int, read: int = read) -> None:
                listen(read + size, intake.outcome.sessions)

            source = Source(path, heard)
            intake.outcome.formats[str(path)] = kind
            intake.take(str(path), format_named(kind).read(source))
            before += source.size


def _told(outcome: Outcome, *, dry_run: bool) -> Iterator[str]:
    would = "would be " if dry_run else ""
    more = f", {counted(outcome.scores, 'new score')} of theirs {would}added" if outcome.scores else ""
    yield (
        f"{counted(outcome.added, 'session')} {would}added; {outcome.known:,} were there already{more} "
        f"({', '.join(sorted(set(outcome.formats.values())))})"
    )
    for what, lost in outcome.losses.to_json().items():
        yield f"  {lost['times']:>8,}  not kept: {what} ({counted(lost['conversations'], 'session')})"
    refused = outcome.damaged + outcome.conflicts
    if refused:
        yield f"{refused:,} could not be taken:"
        yield from (f"  {it.file}, {it.place}: {it.why}" for it in outcome.refused[:_SHOWN])
        if refused > _SHOWN:
            yield f"  and {refused - _SHOWN:,} more (--json tells of {len(outcome.refused):,})"


def _list_formats(json: bool) -> None:
    from drawbar.importing.formats import FORMATS

    if json:
        return print_json(dict(FORMATS))
    width = max(map(len, FORMATS))
    for name, said in FORMATS.items():
        typer.echo(f"{name:<{width}}  {said}")


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar over the files' bytes on a terminal, lines now and then elsewhere; on standard error."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        last = time.monotonic()

        def listen(done: int, sessions: int) -> None:
            nonlocal last
            if not quiet and time.monotonic() - last > PLAIN_SECONDS:
                last = time.monotonic()
                note(f"{done / max(total, 1):.0%} read, {counted(sessions, 'session')}")

        yield listen
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        BarColumn(bar_width=None), DownloadColumn(), TextColumn("{task.fields[sessions]:,} sessions"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task("", total=total, sessions=0)
        yield lambda done, sessions: bar.update(shown, completed=done, sessions=sessions)
