"""`drawbar version`."""

from __future__ import annotations

import typer

from drawbar import __version__
from drawbar.cli.output import AsJson, print_json

app = typer.Typer(add_completion=False)


@app.command()
def version(json: AsJson = False) -> None:
    """Print the version."""
    if json:
        print_json({"version": __version__})
    else:
        typer.echo(f"drawbar {__version__}")
