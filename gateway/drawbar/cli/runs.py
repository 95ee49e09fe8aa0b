"""`drawbar runs`: the runs in a store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
import orjson
import typer

from drawbar.cli.output import AsJson, StoreUrl, ago, print_json, reading, short_ids

if TYPE_CHECKING:
    from rich.table import Table

    from drawbar.record.rows import RunRow

app = typer.Typer(add_completion=False)


@app.command()
def runs(
    store: StoreUrl = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="The newest so many.")] = 50,
    json: AsJson = False,
) -> None:
    """List the runs in a store, the newest first."""
    with reading(store) as source:
        rows = source.runs(limit)
    if json:
        print_json([{**msgspec.structs.asdict(row), "config": orjson.loads(row.config)} for row in rows])
        return
    from rich.console import Console

    Console().print(_table(rows) if rows else "No runs yet.")


def _table(rows: Sequence[RunRow]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("run", "started", "status"):
        table.add_column(heading, no_wrap=True)
    table.add_column("environment · harness · model", overflow="fold")
    short, now = short_ids([row.id for row in rows]), time.time()
    for row in rows:
        what = f"{row.environment} · {row.harness} · {row.model}"
        often = f" · {row.rollouts} per task" if row.rollouts > 1 else ""
        table.add_row(short[row.id], ago(now - row.started, row.started), row.status, Text(what + often))
    return table
