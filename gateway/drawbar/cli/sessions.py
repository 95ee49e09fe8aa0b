"""`drawbar sessions`: live sessions and rollouts, found by a filter."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from drawbar.cli.output import AsJson, StoreUrl, ago, reading, short_ids
from drawbar.cli.where import Where, nothing_meant

if TYPE_CHECKING:
    from rich.table import Table

    from drawbar.record.select import Overview
    from drawbar.record.store import Store

app = typer.Typer(add_completion=False)

_PIPED = 160
"""Columns of a table that goes to a file or a program, which has no width of its own."""
_HEALTH = {"defect": "red", "warning": "yellow", "unknown": "dim"}


@app.command()
def sessions(
    where: Where = "",
    limit: Annotated[
        int | None, typer.Option("-n", "--limit", min=1, help="At most so many. Default: 50; with --json, all.")
    ] = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Default: the newest first.")] = False,
    columns: Annotated[bool, typer.Option("--columns", help="List what a filter can ask for, and end.")] = False,
    store: StoreUrl = None,
    json: AsJson = False,
) -> None:
    """List sessions: live ones and rollouts."""
    from rich.console import Console

    from drawbar.record.filter import where as read

    if columns:
        Console().print(_columns())
        return
    filter = read(where)
    with reading(store) as source:
        if json:
            _print_json(source.overview(filter, limit=limit, newest_first=not oldest_first))
            return
        most = limit or 50
        found = list(source.overview(filter, limit=most, newest_first=not oldest_first))
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED
        Console(width=width).print(_table(found) if found else nothing_meant(source, filter), highlight=False)
        if len(found) == most and (more := _more(source, where, most)):
            Console().print(more, style="dim", highlight=False)


def _more(store: Store, where: str, shown: int) -> str:
    from drawbar.record.filter import where as read

    left = store.count(read(where)) - shown
    return f"… {left} more (--limit)" if left > 0 else ""


def _print_json(found: Iterable[Overview]) -> None:
    """A list, written while it is read: it may be long."""
    import msgspec

    between = "[\n "
    for session in found:
        sys.stdout.write(between + msgspec.json.encode(session).decode())
        between = ",\n "
    sys.stdout.write("[]\n" if between.startswith("[") else "\n]\n")


def _table(found: Sequence[Overview]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("session", "started", "status"):
        table.add_column(heading, no_wrap=True)
    for heading in ("turns", "tools", "reward"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("health", no_wrap=True)
    table.add_column("environment · task · agent · model", overflow="fold")
    short, now = short_ids([session.id for session in found]), time.time()
    for session in found:
        reward = "" if session.reward is None else f"{session.reward:.3f}"
        what = (session.environment, session.task, session.agent, session.model)
        table.add_row(
            short[session.id], ago(now - session.started, session.started), session.stop or session.status,
            str(session.turns), str(session.tool_calls), reward,
            Text(session.health, style=_HEALTH.get(session.health, "")),
            Text(" · ".join(part for part in what if part)),
        )  # fmt: skip
    return table


def _columns() -> Table:
    from rich.table import Table
    from rich.text import Text

    from drawbar.record.filter_columns import COLUMNS

    table = Table("column", "compared with", "what it is", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in COLUMNS.values():
        name = f"{column.name}.NAME" if column.keyed else column.name
        also = f" ({column.name} alone: of any name)" if column.keyed and column.keyless else ""
        words = ", ".join({"null": "is null"}.get(each, each) for each in column.kind.operators)
        table.add_row(name, Text(words, style="dim"), Text(column.meaning + also))
    return table
