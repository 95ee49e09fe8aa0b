"""`drawbar stats`: sessions, tokens, cost, rewards and errors, counted by any columns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli.output import AsJson, StoreUrl, print_json, reading
from drawbar.cli.where import Where, nothing_meant

if TYPE_CHECKING:
    from rich.table import Table

    from drawbar.rollout.breakdown import Group

app = typer.Typer(add_completion=False)

MOST = 500
"""Groups that are shown, unless more are asked for: to lay a table out takes longer than to add it up."""
_SHAPES = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "week": "week of %Y-%m-%d"}


def _complete(incomplete: str) -> list[str]:
    from drawbar.record.filter_columns import COLUMNS
    from drawbar.record.select_groups import PERIODS

    before, comma, last = incomplete.rpartition(",")
    names = (*PERIODS, *(name for name, column in COLUMNS.items() if column.alone is not None))
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


@app.command()
def stats(
    by: Annotated[
        str,
        typer.Option(
            "--by", metavar="COLUMNS", autocompletion=_complete,
            help="As `model,day`: hour, day, week (UTC) or what `drawbar sessions --columns` lists. Default: none.",
            show_default=False,
        ),
    ] = "",
    where: Where = "",
    limit: Annotated[
        int | None,
        typer.Option("-n", "--limit", min=1, help=f"At most so many groups. Default: {MOST}; with --json, all."),
    ] = None,
    store: StoreUrl = None,
    json: AsJson = False,
) -> None:  # fmt: skip
    """Count sessions, turns, tokens, cost, rewards, errors and defects, by any columns."""
    from rich.console import Console

    from drawbar.record.filter import where as read
    from drawbar.record.select_groups import by_columns
    from drawbar.rollout.breakdown import breakdown

    columns, filter = by_columns(by), read(where)
    with reading(store) as source:
        groups = breakdown(source.sums(columns, filter))
        names = [column.name for column in columns]
        if json:
            print_json([group.to_json(names) for group in groups[:limit]])
            return
        console, shown = Console(), groups[: limit or MOST]
        console.print(_table(names, shown) if shown else nothing_meant(source, filter), highlight=False)
        if len(shown) < len(groups):
            console.print(f"… {len(groups) - len(shown):,} more (--limit)", style="dim", highlight=False)
        for remark in _remarks(groups):
            console.print(remark, style="yellow", highlight=False)


def _table(names: Sequence[str], groups: Sequence[Group]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    for heading in ("sessions", "turns", "tools", "prompt", "completion", "cost", "reward", "95 % interval",
                    "errors", "defects"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for group in groups:
        cells = (_value(name, value) for name, value in zip(names, group.by, strict=True))
        table.add_row(*map(Text, cells), *_cells(group))
    return table


def _cells(group: Group) -> tuple[str, ...]:
    reward = group.reward
    known = reward is not None and reward.low is not None and reward.high is not None
    return (
        f"{group.sessions:,}",
        f"{group.turns:,}",
        f"{group.tool_calls:,}",
        f"{group.prompt_tokens:,}",
        f"{group.completion_tokens:,}",
        "" if group.cost is None else f"${group.cost:,.4f}",
        "" if reward is None else f"{reward.mean:.3f}",
        f"{reward.low:.3f} to {reward.high:.3f}" if reward is not None and known else "",
        _percent(group.error_share),
        _percent(group.defect_share),
    )


def _value(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name in _SHAPES:
        return time.strftime(_SHAPES[name], time.gmtime(value))
    if name in ("started", "ended"):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _remarks(groups: Sequence[Group]) -> list[str]:
    """What must be known to read the means rightly."""
    from drawbar.rollout.breakdown import mixed

    versions = mixed(groups)
    if not versions:
        return []
    said = ", ".join(f"{version} ({count:,})" for version, count in versions.most_common(6))
    one = versions.most_common(1)[0][0]
    return [
        f"\nRewards of several rubric versions are in one mean: {said}.\nTell them apart with --by rubric, choose one "
        f"with --where 'rubric = {one}', or bring all to one with `drawbar score`."
    ]
