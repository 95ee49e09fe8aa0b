"""`drawbar capture`: recorded sessions become an environment that runs at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli.output import AsJson, StoreUrl, counted, note, print_json, reading
from drawbar.cli.where import Where, nothing_meant
from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.capture.capturing import Capturing
    from drawbar.capture.settings import Settings
    from drawbar.capture.statistics import Captured
    from drawbar.tools.cassettes.stored import Tools

app = typer.Typer(add_completion=False)

PLAIN_SECONDS = 5.0
"""Between lines of progress where there is no terminal."""
_REPLAY, _SCORES = "The environment", "Its judge and its user"


def _option(*names: str, help: str, panel: str | None = None, **attributes: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **attributes)


@app.command()
def capture(
    name: Annotated[str, typer.Argument(help="Of the environment: lower-case letters, digits, '-' and '_'.")],
    output: Annotated[Path, _option("--output", "-o", metavar="DIR", help="The folder to write.")],
    where: Where = "",
    everything: Annotated[
        bool, _option("--all", help="Also sessions with defects, without an answer, or under way.")
    ] = False,
    environment: Annotated[
        str | None,
        _option("--env", metavar="ENV", help="Start its servers: their word on tools holds, hints included."),
    ] = None,
    mode: Annotated[
        str,
        _option("--mode", panel=_REPLAY, help="How recorded calls answer: strict, fifo, by-arguments, nearest."),
    ] = "by-arguments",
    ignore: Annotated[
        list[str] | None,
        _option("--ignore", panel=_REPLAY, metavar="PATH", help="An argument that does not count. Repeatable."),
    ] = None,
    read_only: Annotated[
        list[str] | None,
        _option("--read-only", panel=_REPLAY, metavar="TOOL", help="Tools (a pattern) that only read. Repeatable."),
    ] = None,
    max_misses: Annotated[
        int, _option("--max-misses", panel=_REPLAY, min=0, help="More unanswered calls make a rollout invalid.")
    ] = 0,
    judge_model: Annotated[
        str | None, _option("--judge-model", panel=_SCORES, metavar="MODEL", help="Compares new and recorded answers.")
    ] = None,
    user_model: Annotated[
        str | None,
        _option("--user-model", panel=_SCORES, metavar="MODEL", help="Plays the user. Default: what was said, again."),
    ] = None,
    seed: Annotated[int, _option("--seed", help="For whatever is drawn.")] = 0,
    force: Annotated[bool, _option("--force", help="Replace what an earlier capture has written there.")] = False,
    dry_run: Annotated[bool, _option("--dry-run", help="Say what would be captured, and write nothing.")] = False,
    store: StoreUrl = None,
    json: AsJson = False,
    quiet: Annotated[bool, _option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Make an environment of recorded sessions: their requests as tasks, their tool calls as a cassette.

    Nothing behind the tools is touched when it runs. What is left out, and why, is told at the end and in its README.
    """
    from drawbar.capture.capturing import Capturing
    from drawbar.capture.folder import check_output
    from drawbar.capture.spool import Spool
    from drawbar.record.filter import where as read

    settings = _settings(
        name=name, query=where, mode=mode, ignore=tuple(ignore or ()), read_only=tuple(read_only or ()),
        max_misses=max_misses, judge_model=judge_model, user_model=user_model, everything=everything, seed=seed,
    )  # fmt: skip
    folder, filter = Path(os.path.abspath(output)), read(where)
    if not dry_run:
        check_output(folder, force=force)
    listed = _listed(environment) if environment is not None else None
    with reading(store) as source, Spool() as spool:
        work = Capturing(source, filter, settings, spool, listed)
        if not work.total:
            raise ConfigurationError(nothing_meant(source, filter))
        _read(work, quiet)
        _must_have_tasks(work)
        captured = work.captured()
        if not dry_run:
            _write(folder, captured, str(output), force)
        _print(captured, str(output), dry_run, json)


def _settings(**given: Any) -> Settings:
    from drawbar.capture.settings import Settings
    from drawbar.environment import Environment

    Environment(name=given["name"])  # its name must be one
    if given["mode"] == "fall-through":
        raise ConfigurationError(
            "--mode fall-through needs a live server. Capture first, then name the server in environment.toml."
        )
    return Settings(**given)


def _listed(environment: str) -> Tools:
    import anyio

    from drawbar.loading import load_environment
    from drawbar.tools.pool import listed_tools

    loaded = load_environment(environment)
    return anyio.run(lambda: listed_tools(loaded))


def _read(work: Capturing, quiet: bool) -> None:
    try:
        with _progress(work, quiet) as listen:
            work.read(listen)
    except OSError as error:
        raise ConfigurationError(f"Recorded calls cannot be kept for the while: {error.strerror or error}.") from error
    except KeyboardInterrupt:
        note("Stopped. Nothing was written.")
        raise typer.Exit(130) from None


@contextmanager
def _progress(work: Capturing, quiet: bool) -> Iterator[Callable[[int], None]]:
    from rich.console import Console

    console = Console(stderr=True)
    if quiet:
        yield lambda number: None
    elif console.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

        columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            shown = bar.add_task("", total=work.total)
            yield lambda number: bar.update(shown, completed=number)
    else:
        last = time.monotonic()

        def listen(number: int) -> None:
            nonlocal last
            if time.monotonic() - last > PLAIN_SECONDS:
                last = time.monotonic()
                note(f"{number}/{work.total} sessions")

        yield listen


def _must_have_tasks(work: Capturing) -> None:
    if work.candidates:
        return
    why = ", ".join(f"{reason} ({left.count})" for reason, left in work.captured().left.items())
    advice = "" if work.settings.everything else " --all takes those that have a request at all."
    raise ConfigurationError(f"None of {counted(work.total, 'session')} can become a task: {why}.{advice}")


def _write(folder: Path, captured: Captured, shown_as: str, force: bool) -> None:
    from drawbar.capture.folder import staged, write_environment

    with staged(folder, force=force) as staging:
        write_environment(staging, captured, shown_as)


def _print(captured: Captured, output: str, dry_run: bool, json: bool) -> None:
    if json:
        print_json({"name": captured.settings.name, "folder": None if dry_run else output, **captured.counts()})
        return
    would = "would be " if dry_run else ""
    calls = sum(tool.calls for tool in captured.homes.tools.values())
    typer.echo(
        f"{counted(len(captured.candidates), 'task')} and {counted(calls, 'tool call')} {would}captured of "
        f"{counted(captured.total, 'session')}."
    )
    for reason, left in captured.left.items():
        typer.echo(f"  {left.count} left out: {reason} ({', '.join(left.examples)})")
    if captured.merged:
        typer.echo(f"  {captured.merged} merged into others as near duplicates")
    for step, count in captured.steps.items():
        typer.echo(f"  {count} {step}")
    if captured.homes.sets > 1:
        typer.echo(
            f"  The sessions were offered {captured.homes.sets} different sets of tools; each task is given them all. "
            "--where narrows it down."
        )
    if not dry_run:
        judge = "" if captured.settings.judge_model else " --judge-model JUDGE"
        typer.echo(f"Run it:  drawbar run {output} --model MODEL{judge}")
