"""`drawbar export`: recorded sessions as files that trainers load."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli import export_options as options
from drawbar.cli.output import AsJson, StoreUrl, note, pairs, print_json, reading
from drawbar.cli.where import Where, nothing_meant
from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.export.engine import Exporting, Wanted
    from drawbar.export.format import Format
    from drawbar.export.writing import Target
    from drawbar.record.store import Store

app = typer.Typer(add_completion=False)

PLAIN_SECONDS = 5.0
"""Between lines of progress where there is no terminal."""
_SHOWN = 3
"""Rows that `--dry-run` shows."""


def _formats(incomplete: str) -> list[str]:
    from drawbar.export.format import FORMATS

    return [name for name in FORMATS if name.startswith(incomplete)]


def _rules(incomplete: str) -> list[str]:
    from drawbar.export.healthy import RULES

    return [name for name in ("all", *RULES) if name.startswith(incomplete)]


def _option(*names: str, help: str, **attributes: Any) -> Any:
    return typer.Option(*names, help=help, **attributes)


@app.command()
def export(
    format: Annotated[
        str | None,
        typer.Argument(metavar="[FORMAT]", help="openai, trl, ...: --formats lists them.", autocompletion=_formats),
    ] = None,
    where: Where = "",
    output: Annotated[
        Path | None, _option("-o", "--output", help="FILE.jsonl, .jsonl.gz, .jsonl.zst or .parquet.")
    ] = None,
    all_threads: Annotated[
        bool, _option("--all-threads", help="Sub-agents, compactions, side calls too. Default: the main conversation.")
    ] = False,
    branches: Annotated[
        bool, _option("--branches", help="Every branch of a conversation. Default: the one to its last answer.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        _option("--allow", metavar="RULE", help="A rule of health that sessions may break, or all; see --explain. "
                "Repeatable.", autocompletion=_rules),
    ] = None,
    limit: Annotated[int | None, _option("-n", "--limit", min=1, help="At most so many sessions.")] = None,
    seed: Annotated[
        int | None, _option("--seed", help="Take sessions in an order that it decides. Default: the oldest first.")
    ] = None,
    group: options.Group = "",
    select: options.SelectOf = "all",
    pass_threshold: options.PassThreshold = None,
    dedupe: options.DedupeOf = None,
    held_out: options.HeldOut = None,
    per_task: options.PerTask = None,
    per_environment: options.PerEnvironment = None,
    mix: options.Mix = None,
    split: options.Split = None,
    redact: options.Redacted = False,
    pairs_from: options.PairsFrom = None,
    margin: options.Margin = 0.0,
    whole: options.Whole = False,
    compress: Annotated[
        str | None, _option("--compress", metavar="none|gz|zst", help="Default: as the file's name says.")
    ] = None,
    license: Annotated[
        list[str] | None,
        _option("--license", metavar="MODEL=LICENCE", help="Of a model's words, for the manifest; * for all others. "
                "Repeatable."),
    ] = None,
    config: Annotated[
        Path | None, _option("--config", envvar="DRAWBAR_CONFIG", help="A drawbar.toml: its licenses.", dir_okay=False)
    ] = None,
    force: Annotated[bool, _option("--force", help="Write over a file that is there.")] = False,
    dry_run: Annotated[
        bool, _option("--dry-run", help="Write nothing: show counts, lengths and three rows.")
    ] = False,
    explain: Annotated[bool, _option("--explain", help="Show how many sessions fell to which rule.")] = False,
    verify: Annotated[
        Path | None, _option("--verify", metavar="MANIFEST", help="Say whether the files of a manifest still match it.")
    ] = None,
    formats: Annotated[bool, _option("--formats", help="List the formats, and end.")] = False,
    group_columns: options.GroupColumns = False,
    store: StoreUrl = None,
    json: AsJson = False,
    quiet: Annotated[bool, _option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:  # fmt: skip
    """Write recorded sessions into a file that a trainer loads, with a manifest beside it.

    Only healthy sessions are taken, unless --allow says otherwise, and only what the model itself said is trained.
    """
    if formats:
        return _list_formats(json)
    if verify is not None:
        return _verify(verify, json)
    if group_columns:
        return _list_columns(json)
    found = _format(format)
    choice = options.chosen(
        found,
        group=group,
        select=select,
        pass_threshold=pass_threshold,
        dedupe=dedupe,
        held_out=held_out,
        per_task=per_task,
        per_environment=per_environment,
        mix=mix,
        split=split,
        pairs=pairs_from,
        margin=margin,
        whole=whole,
    )
    wanted = replace(
        _wanted(found, where, all_threads, branches, allow, limit, seed),
        choice=choice,
        redact=options.pseudonyms(config) if redact else None,
    )
    with reading(store) as source:
        if dry_run:
            return _dry_run(source, wanted, explain, json, quiet)
        if output is None:
            raise ConfigurationError("Say where to write it: -o FILE.jsonl (or --dry-run to see what it would be).")
        _write(
            source, wanted, _target(output, compress, wanted, force), _licenses(config, license), explain, json, quiet
        )


def _format(name: str | None) -> Format:
    from drawbar.export.format import FORMATS, format_named

    if name is None:
        raise ConfigurationError(f"Which format? One of {', '.join(FORMATS)} (--formats tells of them).")
    return format_named(name)


def _wanted(
    format: Format,
    where: str,
    all_threads: bool,
    branches: bool,
    allow: list[str] | None,
    limit: int | None,
    seed: int | None,
) -> Wanted:
    from drawbar.export.branches import Extent
    from drawbar.export.engine import Wanted
    from drawbar.export.healthy import waivers
    from drawbar.record.filter import where as read

    return Wanted(
        format=format,
        filter=read(where),
        extent=Extent(all_threads, branches),
        waived=waivers(allow or ()),
        limit=limit,
        seed=seed,
    )


def _licenses(config: Path | None, given: list[str] | None) -> dict[str, str]:
    """Of models' words: those of the configuration, and before them those of the command line."""
    from drawbar.config.reading import read_configuration

    configured = {} if config is None else read_configuration(config).configuration.licenses
    return {**configured, **pairs(given, "--license")}


def _target(output: Path, compress: str | None, wanted: Wanted, force: bool) -> Target:
    from drawbar.export.run import files_of
    from drawbar.export.writing import target

    found = target(output, compress, wanted.format)
    for path in files_of(found.path, wanted):
        if path.exists() and not force:
            raise ConfigurationError(f"{path} is there already: name another file, or write over it with --force.")
    if not found.path.parent.is_dir():
        raise ConfigurationError(f"There is no folder {found.path.parent}: create it first.")
    return found


def _write(
    store: Store, wanted: Wanted, target: Target, licenses: dict[str, str], explain: bool, json: bool, quiet: bool
) -> None:
    from drawbar.cli.export_text import rows_of, told
    from drawbar.export.engine import begin
    from drawbar.export.run import files_of, write

    made = begin(store, wanted)
    try:
        with _progress(quiet) as listen:
            tally, manifest = write(made, store, wanted, target, licenses, listen)
    except OSError as error:
        raise ConfigurationError(
            f"{target.path} could not be written: {error.strerror or error}. Nothing was left under its name."
        ) from error
    if manifest is None:
        raise ConfigurationError(_nothing(store, wanted, made))
    files = [str(path) for path in files_of(target.path, wanted)]
    if json:
        return print_json({"file": files[0], "files": files, "manifest": str(manifest), **tally.to_json()})
    typer.echo(f"{', '.join(rows_of(map(Path, files), manifest))} ({manifest.name} beside it)")
    for line in told(tally, explain=explain):
        typer.echo(line)


def _dry_run(store: Store, wanted: Wanted, explain: bool, json: bool, quiet: bool) -> None:
    from drawbar.cli.export_text import rendered, told
    from drawbar.export.engine import begin
    from drawbar.export.writing import Pick

    made, pick = begin(store, wanted), Pick(_SHOWN, wanted.seed or 0)
    with _progress(quiet) as listen:
        for side in made.sides:
            for rows in made.pages(listen, side):
                pick.write(rows)
    if not made.tally.rows:
        raise ConfigurationError(_nothing(store, wanted, made))
    if json:
        return print_json({**made.tally.to_json(), "samples": pick.rows})
    typer.echo(f"{made.tally.rows:,} rows of {wanted.format.name} would be written.")
    for line in told(made.tally, explain=explain):
        typer.echo(line)
    for row in pick.rows:
        typer.echo(f"\n{rendered(row)}")


def _nothing(store: Store, wanted: Wanted, made: Exporting) -> str:
    """Why no row can be made."""
    from drawbar.cli.export_text import left_out

    if not made.tally.meant:
        return nothing_meant(store, wanted.filter)
    why = made.emptied or f"Of none of these sessions can a row of {wanted.format.name} be made."
    return "\n".join((why, *left_out(made.tally)))


def _verify(path: Path, json: bool) -> None:
    from drawbar.export.manifest import differences

    found = differences(path)
    if json:
        print_json({"manifest": str(path), "matches": not found, "differences": found})
    else:
        typer.echo("\n".join(found) if found else f"The files match {path}.")
    if found:
        raise typer.Exit(1)


def _list_formats(json: bool) -> None:
    from drawbar.export.format import FORMATS

    if json:
        return print_json({name: said for name, (_, said) in FORMATS.items()})
    width = max(map(len, FORMATS))
    for name, (_, said) in FORMATS.items():
        typer.echo(f"{name:<{width}}  {said}")


def _list_columns(json: bool) -> None:
    found = options.columns()
    if json:
        return print_json(found)
    titles = {"columns": "columns of --group", "selectors": "what --select takes of each task", "pairs": "--pairs"}
    for part, meanings in found.items():
        typer.echo(f"{titles[part]}:")
        for name, meaning in meanings.items():
            typer.echo(f"  {name:<16}  {meaning}")


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, lines now and then elsewhere; on standard error."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        last = time.monotonic()

        def listen(done: int, total: int) -> None:
            nonlocal last
            if not quiet and time.monotonic() - last > PLAIN_SECONDS:
                last = time.monotonic()
                note(f"{done:,}/{total:,} sessions")

        yield listen
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task("", total=None)
        yield lambda done, total: bar.update(shown, completed=done, total=total)
