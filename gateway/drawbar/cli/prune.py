"""`drawbar prune`: delete sessions that have ended, and what only they needed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from drawbar.cli.output import AsJson, counted, note, print_json
from drawbar.cli.where import Where, nothing_meant
from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.record.filter import Filter
    from drawbar.record.freed import Freed
    from drawbar.record.pruning import Planned
    from drawbar.record.store import Store

app = typer.Typer(add_completion=False)

_LEAST: Final = 0.003
"""Seconds between steps at least: whoever records meanwhile has the store then."""
_PLAIN_SECONDS: Final = 5.0


@app.command()
def prune(
    where: Where = "",
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only sessions that ended so long ago (30d), or before a day.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and end.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Make a SQLite file smaller afterwards; nobody can write meanwhile.")
    ] = False,
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store: a file or a URL.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(envvar="DRAWBAR_CONFIG", help="A drawbar.toml that names the store.", dir_okay=False),
    ] = None,
    json: AsJson = False,
) -> None:
    """Delete sessions that have ended, with all that is about them.

    Without --where and --older-than, those whose time is over as `[retention]` in drawbar.toml says: a server deletes
    these by itself. Open sessions stay, and those that are still to be scored. Servers may go on meanwhile.
    """
    from drawbar.config.made import retention_of
    from drawbar.config.reading import read_configuration
    from drawbar.record.filter import where as read
    from drawbar.record.pruning import planned

    effective, now = read_configuration(config, {"store": ("--store", store)}), time.time()
    filters = [read(where, now=now)]
    if older_than is not None:
        filters = [read(f"ended < {older_than}", now=now) & filters[0]]
    elif not where:
        filters = retention_of(effective).over(now)
        if not filters and not vacuum:
            raise ConfigurationError(
                "Say which sessions: with --where, --older-than, or [retention] in a drawbar.toml (--config)."
            )
    with _writing(effective.configuration.store) as opened:
        plan = planned(opened, filters, now)
        if dry_run:
            _print_plan(plan, json)
            return
        if plan.sessions and not yes and not _agreed(plan, opened.url, json):
            raise typer.Exit(1)
        if not plan.sessions and where and not json:
            note(nothing_meant(opened, filters[0]) if not plan.staying else _staying(plan))
        freed = _work(opened, filters, plan, quiet=json)
        if vacuum:
            opened.rebuild()
        _print_result(opened, freed, plan, json)


@contextmanager
def _writing(url: str) -> Iterator[Store]:
    from drawbar.record.store import Store

    path = url.removeprefix("sqlite:///").partition("?")[0]
    if "://" not in path and not os.path.exists(path):
        raise ConfigurationError(f"There is no store at {path}; name another with --store or DRAWBAR_STORE.")
    store = Store.open(url)
    try:
        yield store
    finally:
        store.close()


def _agreed(plan: Planned, url: str, json: bool) -> bool:
    if json or not sys.stdin.isatty():
        raise ConfigurationError(f"{_going(plan)} would be deleted from {url}. Say --yes to do so without being asked.")
    return typer.confirm(f"Delete {_going(plan)} from {url}?", err=True)


def _going(plan: Planned) -> str:
    rest = f"{counted(plan.calls, 'call')} and {counted(plan.tool_calls, 'tool call')}"
    return f"{counted(plan.sessions, 'session')} with {rest}"


def _staying(plan: Planned) -> str:
    stay = "stays" if plan.staying == 1 else "stay"
    return f"{counted(plan.staying, 'session')} that would be meant {stay}: open, or still to be scored."


def _print_plan(plan: Planned, json: bool) -> None:
    if json:
        print_json(asdict(plan))
        return
    typer.echo(f"{_going(plan)} would be deleted, and the messages that no other session needs.")
    if plan.staying:
        typer.echo(_staying(plan))


def _work(store: Store, filters: Sequence[Filter], plan: Planned, *, quiet: bool) -> Freed:
    from drawbar.record.pruning import Pruning

    pruning = Pruning(store)
    try:
        with _progress(plan.sessions, quiet) as show:
            for held in pruning.steps(filters):
                show(pruning.freed)
                time.sleep(max(_LEAST, held))
    except KeyboardInterrupt:
        note(f"Stopped. {counted(pruning.freed.sessions, 'session')} are deleted; the same line again goes on.")
        raise typer.Exit(130) from None
    return pruning.freed


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[Freed], None]]:
    from rich.console import Console

    console = Console(stderr=True)
    if quiet:
        yield lambda freed: None
    elif console.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("{task.description}"), console=console, transient=True) as bar:
            shown = bar.add_task("sessions", total=total)
            yield lambda freed: bar.update(shown, completed=freed.sessions, description=_doing(freed, total))
    else:
        last = time.monotonic()

        def say(freed: Freed) -> None:
            nonlocal last
            if time.monotonic() - last > _PLAIN_SECONDS:
                last = time.monotonic()
                note(f"{freed.sessions}/{total} sessions, {_doing(freed, total)}")

        yield say


def _doing(freed: Freed, total: int) -> str:
    if freed.nodes or freed.blobs:
        return f"{freed.nodes} messages deleted"
    return "sessions" if freed.sessions < total else "looking for what nobody needs"


def _print_result(store: Store, freed: Freed, plan: Planned, json: bool) -> None:
    space = store.space()
    if json:
        file = {} if space is None else {"file_bytes": space[0], "free_bytes": space[1]}
        print_json({**asdict(freed), "staying": plan.staying, **file})
        return
    typer.echo(
        f"Deleted {counted(freed.sessions, 'session')}, {counted(freed.calls, 'call')}, "
        f"{counted(freed.tool_calls, 'tool call')}, {counted(freed.scores, 'score')}; "
        f"{counted(freed.nodes, 'message')} and {counted(freed.blobs, 'other body', 'other bodies')} that nobody needs "
        f"any more: {_size(freed.bytes)}."
    )
    if plan.staying:
        typer.echo(_staying(plan))
    if freed.kept_for_now:
        typer.echo(
            f"{counted(freed.kept_for_now, 'more message or body', 'more messages and bodies')} can go two hours after "
            "their sessions' last words: a running server may still build on them. The next round deletes them."
        )
    if space is not None and space[1]:
        typer.echo(
            f"The file has {_size(space[0])}, of which {_size(space[1])} are free for what comes; --vacuum makes it "
            "smaller."
        )


def _size(bytes: int) -> str:
    return f"{bytes / 1e6:,.1f} MB" if bytes >= 1e5 else f"{bytes:,} bytes"
