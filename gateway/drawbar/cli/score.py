"""`drawbar score`: sessions that are in the store, with a new or changed rubric."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli.output import AsJson, StoreUrl, counted, note, numbers, pairs, print_json, reading, store_url
from drawbar.cli.redacting import Config, redact_by
from drawbar.cli.where import Where, nothing_meant
from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from drawbar.proxy.models import Models
    from drawbar.score.again import Again, Planned, Tally
    from drawbar.score.again_changes import Change
    from drawbar.score.again_rubric import NamedRubric

app = typer.Typer(add_completion=False)

PLAIN_SECONDS = 5.0
"""Between lines of progress where there is no terminal."""


def _option(*names: str, help: str, **attributes: Any) -> Any:
    return typer.Option(*names, help=help, **attributes)


@app.command()
def score(
    rubric: Annotated[
        str, typer.Argument(metavar="RUBRIC", help="An environment, `module:name` or `file.py:name` of a rubric.")
    ],
    where: Where = "",
    dry_run: Annotated[bool, _option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    judge_budget: Annotated[
        float | None, _option("--judge-budget", min=0, metavar="DOLLARS", help="What judges may spend in all.")
    ] = None,
    judge_calls: Annotated[
        int | None, _option("--judge-calls", min=0, metavar="N", help="How often judges may be asked in all.")
    ] = None,
    judge_model: Annotated[str | None, _option("--judge-model", metavar="MODEL", help="Behind the judges.")] = None,
    weight: Annotated[
        list[str] | None, _option("--weight", metavar="NAME=NUMBER", help="Of a reward or metric. Repeatable.")
    ] = None,
    env_option: Annotated[
        list[str] | None, _option("--env-option", metavar="KEY=VALUE", help="Passed to the environment. Repeatable.")
    ] = None,
    base_url: Annotated[str | None, _option("--base-url", metavar="URL", help="Where the judges' models are.")] = None,
    api_key_env: Annotated[
        str | None, _option("--api-key-env", metavar="NAME", help="The variable that holds its key.")
    ] = None,
    concurrency: Annotated[int, _option("--concurrency", "-c", min=1, help="Sessions at a time.")] = 8,
    store: StoreUrl = None,
    config: Config = None,
    json: AsJson = False,
    quiet: Annotated[bool, _option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Score recorded sessions with a new or changed rubric, and say what changed.

    Scores are added, none is changed. What a session has of this version of the rubric already is not done again, so
    that the same line a second time goes on where the first was stopped.
    """
    from drawbar.record.filter import where as read
    from drawbar.score.again import Again
    from drawbar.score.again_budget import JudgeBudget

    named, filter = _named(rubric, weight, env_option, judge_model), read(where)
    budget, redact = JudgeBudget(judge_budget, judge_calls), redact_by(config)
    with _writing(store, dry_run) as source:
        models = None if dry_run or not named.judge_models else _models(named, base_url, api_key_env)
        ask = models.chat if models is not None else None
        again = Again(source, named, filter, ask=ask, budget=budget, at_a_time=concurrency, redact=redact)
        planned = again.plan()
        if dry_run:
            _print_plan(again, planned, json)
        elif planned.tally.meant:
            _run(again, planned, quiet)
            _print_result(again, json)
        if not planned.tally.meant:
            note(nothing_meant(source, filter))


def _named(ref: str, weight: list[str] | None, env_option: list[str] | None, judge_model: str | None) -> NamedRubric:
    from drawbar.rubric import Rubric
    from drawbar.score.again_rubric import named_rubric

    named = named_rubric(ref, pairs(env_option, "--env-option"))
    if weight:
        named = replace(named, rubric=named.rubric.with_weights(numbers(weight, "--weight")))
    if judge_model is not None:
        if not named.judges:
            raise ConfigurationError(f"{ref} has no judge, so there is none for --judge-model.")
        scorers = named.rubric.scorers.values()
        own = (replace(s, judge=replace(s.judge, model=judge_model)) if s.judge else s for s in scorers)
        judge = named.judge and replace(named.judge, model=judge_model)
        named = replace(named, rubric=Rubric(*own), judge=judge)
    return named


@contextmanager
def _writing(given: str | None, dry_run: bool) -> Iterator[Any]:
    """The store, which must be there."""
    from drawbar.record.store import Store

    with reading(given) as source:
        if dry_run:
            yield source
            return
    store = Store.open(store_url(given))
    try:
        yield store
    finally:
        store.close()


def _models(named: NamedRubric, base_url: str | None, api_key_env: str | None) -> Models:
    """How the judges' models are reached.

    Raises:
        ConfigurationError: a key is not set, or nothing is known of a model.
    """
    from drawbar.proxy.models import Models
    from drawbar.proxy.upstream import UpstreamError

    key = os.environ.get(api_key_env) if api_key_env is not None else None
    if api_key_env is not None and not key:
        raise ConfigurationError(f"{api_key_env} is not set, which --api-key-env names.")
    models = Models(in_process=named.models, base_url=base_url, api_key=key)
    for model in named.judge_models:
        try:
            models.check(model)
        except UpstreamError as error:
            raise ConfigurationError(f"Judge {model} cannot be asked. {error}") from error
    return models


def _run(again: Again, planned: Planned, quiet: bool) -> None:
    import anyio

    async def work() -> None:
        with _progress(planned.due, quiet) as listen:
            await again.run(listen)

    try:
        anyio.run(work, backend_options={"use_uvloop": sys.platform != "win32"})
    except KeyboardInterrupt:
        done = counted(again.tally.scored, "session")
        note(f"Stopped, with {done} scored; the same line again scores the rest.")
        raise typer.Exit(130) from None


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[Tally], None]]:
    from rich.console import Console

    console = Console(stderr=True)
    if quiet:
        yield lambda tally: None
    elif console.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

        columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            shown = bar.add_task("", total=total)
            yield lambda tally: bar.update(shown, completed=tally.scored + tally.left)
    else:
        last = time.monotonic()

        def listen(tally: Tally) -> None:
            nonlocal last
            if time.monotonic() - last > PLAIN_SECONDS:
                last = time.monotonic()
                note(f"{tally.scored}/{total} sessions")

        yield listen


def _print_plan(again: Again, planned: Planned, json: bool) -> None:
    if json:
        print_json({**_counts(again, planned.tally), "due": planned.due, "judge_calls": planned.judge_calls})
        return
    from rich.console import Console

    console, tally = Console(), planned.tally
    _say(console, f"Rubric {again.version}: {counted(planned.due, 'session')} of {tally.meant} would be scored.")
    _say_rest(console, tally)
    if planned.judge_calls:
        _say(console, f"Judges would be asked at least {counted(planned.judge_calls, 'time')}.")


def _print_result(again: Again, json: bool) -> None:
    changes, tally, budget = again.changes.all(), again.tally, again.budget
    if json:
        judge = {"calls": budget.asked, "cost": budget.spent, "unpriced": budget.unpriced}
        before = {version or "none": count for version, count in again.changes.before.items()}
        print_json(
            {**_counts(again, tally), "scored": tally.scored, "left": tally.left, "judge": judge, "before": before,
             "changes": {change.name: change.to_json() for change in changes}}
        )  # fmt: skip
        return
    from rich.console import Console

    console = Console()
    _say(console, f"Rubric {again.version}: {counted(tally.scored, 'session')} of {tally.meant} scored.")
    _say_rest(console, tally)
    if budget.asked:
        unknown = f" (the price of {budget.unpriced} is not known)" if budget.unpriced else ""
        _say(console, f"Judges were asked {counted(budget.asked, 'time')}, for ${budget.spent:.4f}{unknown}.")
    if tally.left:
        _say(console, f"The judges' budget is spent: {counted(tally.left, 'session')} left. The same line goes on.")
    _print_changes(console, changes, again.changes.before)


def _print_changes(console: Console, changes: list[Change], before: Mapping[str, int]) -> None:
    from rich.table import Table

    from drawbar.cli.output import short_ids

    said = ", ".join(f"{version or 'none'} ({count})" for version, count in before.items())
    _say(console, f"Before, their scores were of rubric {said}.")
    if not changes:
        _say(console, "No score is in both, so there is nothing to compare.")
        return
    table = Table("\nscore", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("sessions", "before", "after", "changed"):
        table.add_column("\n" + heading, justify="right")
    for change in changes:
        table.add_row(
            change.name, str(change.sessions), f"{change.before:.3f}", f"{change.after:.3f}", str(change.changed)
        )
    console.print(table, highlight=False)
    for change in changes:
        if change.most:
            short = short_ids([session for session, _, _ in change.most])
            most = ", ".join(f"{short[id]} {first:.3g} to {second:.3g}" for id, first, second in change.most)
            _say(console, f"\nMost changed in {change.name}: {most}")


def _counts(again: Again, tally: Tally) -> dict[str, Any]:
    return {"rubric_version": again.version, "meant": tally.meant, "kept": tally.kept, "passed": dict(tally.passed),
            "skipped": dict(tally.skipped), "failed": dict(tally.failed)}  # fmt: skip


def _say_rest(console: Console, tally: Tally) -> None:
    if tally.kept:
        _say(console, f"{counted(tally.kept, 'session')} had every score of it before.")
    for reason, count in tally.passed.most_common():
        _say(console, f"{counted(count, 'session')} not scored: {reason}.")
    for name, count in tally.skipped.most_common():
        _say(console, f"{name} {tally.reasons[name]} ({counted(count, 'session')}).")
    for name, count in tally.failed.most_common():
        _say(console, f"{name} failed in {counted(count, 'session')}: {tally.examples[name]}", "yellow")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
