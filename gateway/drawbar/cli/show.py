"""`drawbar show`: a run's report, or a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from drawbar.cli.output import AsJson, RubricVersion, StoreUrl, print_json, reading, rubric_of, short_ids

if TYPE_CHECKING:
    from drawbar.record.rows import RunRow
    from drawbar.record.store import Store
    from drawbar.rollout.report import Report
    from drawbar.rollout.result import RolloutResult

app = typer.Typer(add_completion=False)

FEW = 10
"""Sessions that are listed, unless all are asked for."""


@app.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="Of a run or a session, or the beginning of it.")],
    store: StoreUrl = None,
    full: Annotated[
        bool, typer.Option("--full", help="Long texts whole; all conversations of a session, all rollouts of a run.")
    ] = False,
    rubric: RubricVersion = None,
    json: AsJson = False,
) -> None:
    """Show a run's report, or a session as a person likes to read it."""
    with reading(store) as source:
        found = source.resolve(id)
        run = source.run(found)
        if run is not None:
            _show_run(source, run, rubric, full=full, json=json)
        else:
            _show_session(source, found, full=full, json=json)


def _show_run(store: Store, run: RunRow, rubric: str | None, *, full: bool, json: bool) -> None:
    from drawbar.rollout.report import Tally
    from drawbar.rollout.result import last_attempts

    version, versions = rubric_of(store, run.id, rubric)
    results, tally = last_attempts(store.trajectories(run=run.id), version), Tally()
    for result in results:
        tally.add(result)
    _print_run(tally.report(run), results, full=full, json=json)
    others = ", ".join(f"{other} ({count} sessions)" for other, count in versions.items() if other != version)
    if others and not json:
        from rich.console import Console

        Console().print(f"\nThere are also scores of rubric {others}: --rubric VERSION shows them.", highlight=False)


def _print_run(report: Report, results: list[RolloutResult], *, full: bool, json: bool) -> None:
    if json:
        listed = [{"session": r.session, "task": r.task_key, "rollout": r.rollout, "attempt": r.attempt,
                   "cause": r.cause, "valid": r.valid, "reward": r.reward, "scores": dict(r.scores), "error": r.error}
                  for r in results]  # fmt: skip
        print_json({**report.to_json(), "sessions": listed})
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from drawbar.cli.report_table import print_report

    console = Console()
    print_report(report, console)
    console.print()
    table = Table("session", "task", "rollout", "ended by", "reward", box=None, pad_edge=False)
    table.columns[1].overflow = "fold"
    shown, short = results if full else results[:FEW], short_ids([r.session for r in results])
    for r in shown:
        reward = "none" if r.reward is None else f"{r.reward:.3f}"
        table.add_row(short[r.session], Text(r.task_key), str(r.rollout), r.cause, reward)
    console.print(table, highlight=False)
    if len(shown) < len(results):
        console.print(f"… {len(results) - len(shown)} more (--full)", style="dim", highlight=False)


def _show_session(store: Store, session: str, *, full: bool, json: bool) -> None:
    from rich.console import Console

    from drawbar.cli.transcript import as_json, print_transcript

    trajectory = store.trajectory(session)
    if json:
        print_json(as_json(trajectory))
    else:
        print_transcript(trajectory, Console(), full=full)
