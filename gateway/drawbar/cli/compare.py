"""`drawbar compare`: two runs side by side, paired by task; or live traffic before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from drawbar.cli.output import AsJson, RubricVersion, StoreUrl, counted, print_json, reading, rubric_of
from drawbar.cli.where import Where
from drawbar.errors import ConfigurationError, UnknownName

if TYPE_CHECKING:
    from drawbar.record.rows import RunRow
    from drawbar.record.store import Store
    from drawbar.rollout.comparison import Comparison, Difference
    from drawbar.rollout.result import RolloutResult

app = typer.Typer(add_completion=False)

RunId = Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run's id, or the beginning of it.")]
_LIVE = "DURATION|FROM..TO"


@app.command()
def compare(
    first: RunId = None,
    second: RunId = None,
    rubric: RubricVersion = None,
    live: Annotated[bool, typer.Option("--live", help="Compare live traffic before and after, and no runs.")] = False,
    before: Annotated[
        str | None, typer.Option(metavar=_LIVE, help="With --live: how long before that (default: 7d), or when.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar=_LIVE, help="With --live: how long up to now (default: 1d), or when.")
    ] = None,
    where: Where = "",
    by: Annotated[
        str,
        typer.Option("--by", metavar="COLUMNS", help="With --live: each apart, as `model` or `environment,release`."),
    ] = "",
    store: StoreUrl = None,
    json: AsJson = False,
) -> None:
    """Compare two runs on the tasks that both have: the second minus the first, with a 95 % interval.

    With --live, the live sessions that began in a stretch of time with those that began before it: rewards, scores,
    errors, turns, tokens, cost, latency, defects and the mix of tools, and which of them moved beyond chance.
    """
    if live:
        from drawbar.cli.compare_live import compare_live

        if first is not None or rubric is not None:
            raise ConfigurationError("--live compares live traffic: it takes neither runs nor --rubric.")
        compare_live(store, before or "7d", after or "1d", where, by, json)
        return
    if before or after or where or by:
        raise ConfigurationError("--before, --after, --where and --by go with --live.")
    if first is None or second is None:
        raise ConfigurationError("Name two runs (`drawbar runs` lists them), or compare live traffic with --live.")
    from drawbar.rollout.comparison import compare as compare_runs

    with reading(store) as source:
        comparison = compare_runs(*_loaded(source, first, rubric), *_loaded(source, second, rubric))
    if json:
        print_json(comparison.to_json())
    else:
        _print(comparison)


def _loaded(store: Store, prefix: str, rubric: str | None) -> tuple[RunRow, list[RolloutResult]]:
    from drawbar.rollout.result import last_attempts

    run = store.run(store.resolve(prefix))
    if run is None:
        raise UnknownName("run", prefix, [row.id for row in store.runs()])
    version, _ = rubric_of(store, run.id, rubric)
    return run, last_attempts(store.trajectories(run=run.id), version)


def _print(comparison: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for label, run in (("first ", comparison.first), ("second", comparison.second)):
        console.print(f"{label}  {run.id}  {run.environment} · {run.harness} · {run.model}", highlight=False)
    for remark in comparison.remarks:
        console.print(remark, style="yellow", highlight=False)
    if not comparison.tasks:
        console.print(_nothing_shared(comparison), highlight=False)
        return
    apart = comparison.only_first + comparison.only_second
    alone = f", {apart} in one alone" if apart else ""
    console.print(f"{counted(comparison.tasks, 'task')} in both{alone}\n", highlight=False)
    table = Table("score", box=None, pad_edge=False)
    for heading in ("first", "second", "difference", "95 % interval"):
        table.add_column(heading, justify="right")
    for difference in comparison.differences:
        table.add_row(*_cells(difference))
    console.print(table)


def _nothing_shared(comparison: Comparison) -> str:
    empty = [
        run.id
        for run, alone in ((comparison.first, comparison.only_first), (comparison.second, comparison.only_second))
        if not alone
    ]
    if empty:
        return f"There is nothing to compare: no valid rollout in {' and '.join(empty)}."
    return "There is nothing to compare: no task has valid rollouts in both. Tasks are paired by their content."


def _cells(difference: Difference) -> tuple[str, ...]:
    estimate = difference.estimate
    known = estimate.low is not None and estimate.high is not None
    interval = f"{estimate.low:+.3f} to {estimate.high:+.3f}" if known else "one task"
    # Beyond chance at this level when the interval leaves zero out.
    style = "" if not known or estimate.low <= 0 <= estimate.high else "bold"  # type: ignore[operator]
    mean = f"[{style}]{estimate.mean:+.3f}[/]" if style else f"{estimate.mean:+.3f}"
    return difference.name, f"{difference.first:.3f}", f"{difference.second:.3f}", mean, interval
