"""`drawbar config`: what can be set about the server, what holds now, and whether a file is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Show and check the server's configuration.")

_CONFIG = typer.Option("--config", envvar="DRAWBAR_CONFIG", help="The drawbar.toml.", dir_okay=False)
_SET = typer.Option("--set", metavar="NAME=VALUE", help="A setting, as for `drawbar serve`. Repeatable.")


@app.command()
def show(
    config: Annotated[Path | None, _CONFIG] = None,
    setting: Annotated[list[str] | None, _SET] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print every setting that holds, and where it comes from. Secrets are masked."""
    from drawbar.config.reading import read_configuration
    from drawbar.config.shown import as_text, described

    effective = read_configuration(config, settings=setting or [])
    if as_json:
        rows = [{"name": name, "value": value, "source": source} for name, value, source in described(effective)]
        typer.echo(json.dumps(rows, indent=2))
    else:
        typer.echo(as_text(effective))
    for note in effective.ignored:
        typer.echo(f"Note: {note}", err=True)


@app.command()
def check(
    config: Annotated[Path | None, _CONFIG] = None,
    setting: Annotated[list[str] | None, _SET] = None,
) -> None:
    """Check a drawbar.toml, and all that it names: environments, upstreams, keys, patterns. Nothing is started."""
    from drawbar.cli.serving import parts_of
    from drawbar.config.reading import read_configuration
    from drawbar.proxy.upstream import UpstreamError

    effective = read_configuration(config, settings=setting or [])
    parts = parts_of(effective)
    notes = list(effective.ignored)
    for name in (*effective.configuration.models, *effective.configuration.fallbacks):
        try:
            parts.models.check(name)
        except UpstreamError as error:
            notes.append(f"Model {name} cannot be asked now. {error}")
    for note in notes:
        typer.echo(f"Note: {note}", err=True)
    typer.echo(f"{config or 'The configuration'} is right.")


@app.command()
def schema() -> None:
    """Print the format of drawbar.toml as a JSON schema, for editors."""
    from drawbar.config.configuration import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
