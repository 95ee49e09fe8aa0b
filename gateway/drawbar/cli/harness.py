"""`drawbar harness`: which harnesses there are."""

from __future__ import annotations

import inspect

import typer

from drawbar.cli.output import AsJson, print_json

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List the harnesses that can run an agent.")


@app.callback()
def _group() -> None:
    """List the harnesses that can run an agent."""


@app.command("list")
def list_(json: AsJson = False) -> None:
    """List the installed harnesses with their options."""
    from drawbar.rollout.harnesses import harness_factory, installed_harnesses

    rows = []
    for name, point in installed_harnesses().items():
        factory = harness_factory(name)
        options = [p.name for p in inspect.signature(factory).parameters.values()]
        about = (inspect.getmodule(factory).__doc__ or "").strip().splitlines()[0]
        rows.append({"name": name, "from": point.value, "about": about, "options": options})
    if json:
        print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['name']:<12} {row['about']}")
        if row["options"]:
            typer.echo(f"{'':<12} options: {', '.join(row['options'])}")
