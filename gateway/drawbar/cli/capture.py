"""`drawbar capture`: recorded sessions become an environment that runs at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli.output import AsJson, StoreUrl, counted, note, pairs, print_json, reading
from drawbar.cli.where import Where, nothing_meant
from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.capture.candidate import Candidate
    from drawbar.capture.capturing import Capturing
    from drawbar.capture.pseudonyms import Pseudonyms
    from drawbar.capture.settings import Settings
    from drawbar.capture.statistics import Captured
    from drawbar.tools.cassettes.stored import Tools

app = typer.Typer(add_completion=False)

PLAIN_SECONDS = 5.0
"""Between lines of progress where there is no terminal."""
_TASKS, _REPLAY, _SCORES = "Its tasks", "Its recorded tools", "Its judge and its user"


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
    review: Annotated[
        bool,
        _option(
            "--review", panel=_TASKS, help="Walk through them first: keep, drop, edit. Decisions are kept beside DIR."
        ),
    ] = False,
    redact: Annotated[
        list[str] | None,
        _option("--redact", metavar="NAME=PATTERN", help="What else becomes <NAME_1>, <NAME_2>, ... Repeatable."),
    ] = None,
    personal: Annotated[
        bool,
        _option("--personal/--no-personal", help="Replace e-mail addresses, phone numbers, keys and so on."),
    ] = True,
    config: Annotated[
        Path | None,
        _option(
            "--config",
            envvar="DRAWBAR_CONFIG",
            dir_okay=False,
            help="Whose `redaction` patterns apply again. Default: drawbar.toml, where there is one.",
        ),
    ] = None,
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
    near: Annotated[
        float,
        _option(
            "--near",
            panel=_TASKS,
            min=0,
            max=1,
            help="From which likeness on requests are one task. 0: none are merged.",
        ),
    ] = 0.85,
    sample: Annotated[
        int | None, _option("--sample", panel=_TASKS, min=1, metavar="N", help="So many tasks, of each kind some.")
    ] = None,
    stratify: Annotated[
        list[str] | None,
        _option(
            "--stratify",
            panel=_TASKS,
            metavar="KIND",
            help="What makes a kind: cluster (requests about the same), model, reward, tag, ... Repeatable.",
        ),
    ] = None,
    share: Annotated[
        float | None,
        _option(
            "--split",
            panel=_TASKS,
            metavar="SHARE",
            help="Two environments, DIR/train and DIR/test: this share of the users, with all of theirs, is to test.",
        ),
    ] = None,
    seed: Annotated[int, _option("--seed", panel=_TASKS, help="For whatever is drawn.")] = 0,
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
    names = _pseudonyms(config, redact, personal)
    listed = _listed(environment) if environment is not None else None
    with reading(store) as source, Spool() as spool:
        work = Capturing(source, filter, settings, spool, listed)
        if not work.total:
            raise ConfigurationError(nothing_meant(source, filter))
        _read(work, quiet)
        _must_have_tasks(work)
        _choose(work, near, sample, stratify)
        if review:
            _review(work, folder.with_name(f"{folder.name}.review.jsonl"))
        sides = work.captured({None: work.candidates} if share is None else _sides(work, share, near), names)
        if not dry_run:
            _write(folder, sides, str(output), force)
        _print(work, sides, str(output), dry_run, json)


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
    why = ", ".join(f"{reason} ({left.count})" for reason, left in work.left.items())
    advice = "" if work.settings.everything else " --all takes those that have a request at all."
    raise ConfigurationError(f"None of {counted(work.total, 'session')} can become a task: {why}.{advice}")


def _choose(work: Capturing, near: float, sample: int | None, stratify: list[str] | None) -> None:
    from drawbar.capture.alike import merged
    from drawbar.capture.sampling import sampled

    if near:
        work.take(lambda candidates: merged(candidates, near))
    if sample is not None:
        by = stratify or ["cluster"]
        work.take(lambda all: sampled(all, sample, by, work.settings.seed), f"not in the sample by {', '.join(by)}")
    elif stratify:
        raise ConfigurationError("--stratify says how to draw a sample; --sample says how large it is.")


def _pseudonyms(config: Path | None, redact: list[str] | None, personal: bool) -> Pseudonyms | None:
    """None: nothing is to be replaced. Raises `ConfigurationError`."""
    from drawbar.capture.pseudonyms import Pseudonyms
    from drawbar.cli.redacting import FILE
    from drawbar.config.reading import read_configuration

    path = config or (FILE if FILE.is_file() else None)
    configured = read_configuration(path, only=("redaction",)).configuration.redaction
    patterns = {**configured, **pairs(redact, "--redact")}
    return Pseudonyms(patterns, personal=personal) if patterns or personal else None


def _review(work: Capturing, journal: Path) -> None:
    from rich.console import Console

    from drawbar.capture.review_terminal import review

    journal.parent.mkdir(parents=True, exist_ok=True)
    kept = review(work.candidates, journal, Console(stderr=True))
    if kept is None:
        note(f"The review is not finished, and nothing was written. The same command goes on from {journal}.")
        raise typer.Exit(1)
    if not kept:
        raise ConfigurationError(f"The review dropped every task. Its decisions stand in {journal}.")
    work.take(lambda _: kept, "dropped in the review")


def _sides(work: Capturing, share: float, near: float) -> dict[str | None, Sequence[Candidate]]:
    from drawbar.alike import THRESHOLD
    from drawbar.capture.split import split

    parts = split(work.candidates, share, threshold=near or THRESHOLD, seed=work.settings.seed)
    told = {"their user on one side, their conversation on the other": parts.torn,
            "the same task as one of the other side": parts.repeated}  # fmt: skip
    work.steps |= {f"on neither side: {why}": len(sessions) for why, sessions in told.items() if sessions}
    return {"train": parts.train, "test": parts.test}


def _write(folder: Path, sides: list[Captured], shown_as: str, force: bool) -> None:
    from drawbar.capture.folder import staged, write_environment, write_sides

    with staged(folder, force=force) as staging:
        if len(sides) == 1:
            write_environment(staging, sides[0], shown_as)
        else:
            write_sides(staging, sides, shown_as)


def _print(work: Capturing, sides: list[Captured], output: str, dry_run: bool, json: bool) -> None:
    if json:
        told = {str(side.side): side.counts() for side in sides} if len(sides) > 1 else sides[0].counts()
        print_json({"name": work.settings.name, "folder": None if dry_run else output, **told})
        return
    tasks = sum(len(side.candidates) for side in sides)
    calls = sum(tool.calls for side in sides for tool in side.homes.tools.values())
    would = "would be " if dry_run else ""
    typer.echo(
        f"{counted(tasks, 'task')} and {counted(calls, 'tool call')} {would}captured of "
        f"{counted(work.total, 'session')}."
    )
    for side in sides if len(sides) > 1 else ():
        typer.echo(f"  {counted(len(side.candidates), 'task')} to {side.side}")
    _print_gone(sides)
    if not dry_run:
        judge = "" if work.settings.judge_model else " --judge-model JUDGE"
        where = f"{output}/{sides[0].side}" if sides[0].side else output
        typer.echo(f"Run it:  drawbar run {where} --model MODEL{judge}")


def _print_gone(sides: list[Captured]) -> None:
    """What became of the sessions that are no tasks."""
    for reason, left in sides[0].left.items():
        typer.echo(f"  {left.count} left out: {reason} ({', '.join(left.examples)})")
    if merged := sum(side.merged for side in sides):
        typer.echo(f"  {merged} merged into others as near duplicates")
    for step, count in sides[0].steps.items():
        typer.echo(f"  {count} {step}")
    for each in sides[0].redactions:
        values, places = counted(each["values"], "value"), counted(each["places"], "place")
        typer.echo(f"  {each['what']} replaced: {values} in {places}")
    if (sets := max(side.homes.sets for side in sides)) > 1:
        typer.echo(
            f"  The sessions were offered {sets} different sets of tools; each task is given them all. --where narrows "
            "it down."
        )
