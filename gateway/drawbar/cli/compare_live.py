"""Live traffic before and after, as a person reads it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from drawbar.cli.output import print_json, reading

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from drawbar.record.live_traffic import Stretch
    from drawbar.rollout.drift import Drift, DriftGroup, Move


_UNITS: Final = {"latency_p50": "latency_p50 (s)", "latency_p90": "latency_p90 (s)", "cost": "cost ($)"}


def compare_live(store: str | None, before: str, after: str, where: str, by: str, json: bool) -> None:
    """Print which numbers of live traffic moved."""
    from rich.console import Console

    from drawbar.record.filter import where as read
    from drawbar.record.live_traffic import stretches
    from drawbar.record.select_groups import by_columns
    from drawbar.rollout.drift import drift

    now = time.time()
    first, second = stretches(before, after, now)
    filter, columns = read(where, now=now), by_columns(by)
    with reading(store) as source, _progress() as progress:
        found = drift(source, first, second, filter=filter, by=columns, progress=progress)
    if json:
        print_json(found.to_json())
    else:
        _print(found, Console())


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("sessions"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("", total=None)
        yield lambda done, total: bar.update(shown, completed=done, total=total)


def _print(drift: Drift, console: Console) -> None:
    for word, stretch, side in (("before", drift.before, 0), ("after ", drift.after, 1)):
        sessions = sum(group.sessions[side] for group in drift.groups)
        console.print(f"{word}  {_span(stretch)}  {sessions:,} live sessions", highlight=False)
    for remark in drift.remarks:
        console.print(remark, style="yellow", highlight=False, markup=False)
    for group in drift.groups:
        console.print()
        if drift.names:
            console.print(_heading(drift, group), style="bold", highlight=False, markup=False)
        console.print(_table(group), highlight=False)
    if drift.tests:
        console.print(
            f"\nmoved: the chance that any of these {drift.tests} differences is called so by chance is at most 5 % "
            "(Holm); each interval alone is of 95 %. Clustered by user, else by sessions that continue one another.",
            style="dim", highlight=False,
        )  # fmt: skip


def _heading(drift: Drift, group: DriftGroup) -> str:
    values = ", ".join(
        f"{name} {'none' if value is None else value}" for name, value in zip(drift.names, group.by, strict=True)
    )
    return f"{values}: {group.sessions[0]:,} sessions before, {group.sessions[1]:,} after"


def _span(stretch: Stretch) -> str:
    begin, end = (time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) for at in (stretch.begin, stretch.end))
    return f"{begin} to {end} UTC"


def _table(group: DriftGroup) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for heading in ("before", "after", "difference", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    several = {move.name for move in group.moves if sum(other.name == move.name for other in group.moves) > 1}
    for move in sorted(group.moves, key=lambda move: not move.moved):
        name = f"{move.name} (rubric {move.rubric})" if move.name in several else _UNITS.get(move.name, move.name)
        style = "bold" if move.moved else ""
        table.add_row(Text(name, style=style), *_cells(move), Text(_verdict(move), style=style))
    return table


def _cells(move: Move) -> tuple[str, ...]:
    shift = move.shift
    interval = (
        "" if shift.low is None or shift.high is None else f"{_number(shift.low, '+')} to {_number(shift.high, '+')}"
    )
    return (_number(shift.before), _number(shift.after), _difference(move), interval)


def _difference(move: Move) -> str:
    difference, before = move.shift.difference, move.shift.before
    if difference is None:
        return ""
    part = f" ({difference / abs(before):+.0%})" if before and difference else ""
    return _number(difference, "+") + part


def _verdict(move: Move) -> str:
    if move.moved:
        return "moved"
    return move.why_not or ""


def _number(value: float | None, sign: str = "") -> str:
    if value is None or not value:
        return "" if value is None else "0"
    if abs(value) >= 1000:
        return f"{value:{sign},.0f}"
    return f"{value:{sign}.4f}" if abs(value) < 1 else f"{value:{sign}.2f}"
