"""`drawbar harness`: which harnesses there are, and fetching the agents that they run."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli.output import AsJson, note, print_json

if TYPE_CHECKING:
    from drawbar.harness import Installation

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List and install harnesses that can run an agent.")


@app.callback()
def _group() -> None:
    """List and install harnesses that can run an agent."""


@app.command("list")
def list_(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Say all of these.")] = None,
    json: AsJson = False,
) -> None:
    """List the harnesses: whether their agents are installed, what they speak, and their options.

    Of harnesses that are named, say all that there is to know: options, and what a program finds where.
    """
    from drawbar.rollout.harnesses import harness_factory, installed_harnesses

    factories = {name: harness_factory(name) for name in names or installed_harnesses()}
    if names and not json:
        for factory in factories.values():
            typer.echo(f"{_documentation(factory)}\n")
        return
    rows = [
        {"name": name, "from": point.value, **_described(factories[name])}
        for name, point in installed_harnesses().items()
        if name in factories
    ]
    if json:
        print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['name']:<16} {row['about']}")
        for line in _details(row):
            typer.echo(f"{'':<16} {line}")


@app.command("install")
def install(names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Harnesses, by name.")]) -> None:
    """Fetch the agents that harnesses run, each at its pinned version, into a cache folder of its own.

    The folder is $DRAWBAR_HARNESS_HOME, or drawbar/harnesses in the user's cache folder.
    """
    from drawbar.rollout.harnesses import harness_factory

    installations = {name: _installation(harness_factory(name)) for name in names}
    for name, installation in installations.items():
        if installation is None:
            note(f"{name} needs no install: it comes with drawbar.")
        else:
            installation.install(note)


def _installation(factory: Any) -> Installation | None:
    found: Installation | None = getattr(factory, "install", None)
    return found


def _documentation(factory: Any) -> str:
    """What the harness's module and class say; a class may begin with what its module says."""
    module, own = (inspect.cleandoc(documented.__doc__ or "") for documented in (inspect.getmodule(factory), factory))
    return own if own.startswith(module) else f"{module}\n\n{own}"


def _described(factory: Any) -> dict[str, Any]:
    about = (inspect.getmodule(factory).__doc__ or "").strip().splitlines()[0]
    installation = _installation(factory)
    return {
        "about": about,
        "options": [parameter.name for parameter in inspect.signature(factory).parameters.values()],
        "installed": installation is None or installation.installed,
        "version": None if installation is None else installation.version,
        "dialect": getattr(factory, "dialect", None),
        "dialects": list(getattr(factory, "dialects", ())),
        "mcp": getattr(factory, "mcp", None),
        "asks_user": bool(getattr(factory, "asks_user", False)),
    }


def _details(row: dict[str, Any]) -> list[str]:
    lines = []
    if row["version"] is not None:
        state = "installed" if row["installed"] else f"not installed: drawbar harness install {row['name']}"
        lines.append(f"{row['version']}, {state}")
    if row["dialect"] is not None:
        others = [dialect for dialect in row["dialects"] if dialect != row["dialect"]]
        more = f" (by the option dialect: {', '.join(others)})" if others else ""
        lines.append(f"speaks {row['dialect']}{more}, {'MCP ' + row['mcp'] if row['mcp'] else 'no MCP'}")
    if row["asks_user"]:
        lines.append("goes on with a simulated user")
    if row["options"]:
        lines.append(f"options: {', '.join(row['options'])}")
    return lines
