"""`drawbar runs`: the runs in a store."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import orjson
import typer

from drawbar.cli.output import AsJson, StoreUrl, print_json, reading

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
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True)
    for heading in ("started", "status", "environment", "harness", "model", "per task"):
        table.add_column(heading)
    for row in rows:
        begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.started))
        table.add_row(row.id, begun, row.status, row.environment, row.harness, row.model, str(row.rollouts))
    Console().print(table if rows else "No runs yet.")
