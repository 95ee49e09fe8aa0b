"""`drawbar env`: what environments there are, what one holds, a new one, and whether one is fit for use."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli.output import AsJson, counted, pairs, print_json

if TYPE_CHECKING:
    from drawbar.environment import Environment
    from drawbar.validation import Findings

app = typer.Typer(no_args_is_help=True, help="List, show, make and validate environments.")

_COUNTED = 10_000

Ref = Annotated[str, typer.Argument(metavar="ENV", help="An installed environment, a folder or a .py file.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--env-option", metavar="KEY=VALUE", help="Passed to the function that makes it. Repeatable."),
]


@app.command("list")
def list_(json: AsJson = False) -> None:
    """List the installed environments. None of them is loaded."""
    from drawbar.loading import installed_environments

    rows = [
        {"name": name, "version": point.dist.version if point.dist else None, "entry_point": point.value}
        for name, point in sorted(installed_environments().items())
    ]
    if json:
        return print_json(rows)
    for row in rows:
        typer.echo(f"{row['name']:<24} {row['version'] or '':<10} {row['entry_point']}")
    if not rows:
        typer.echo(
            "No environment is installed. Name a folder or a .py file instead, or make one: drawbar env new NAME"
        )


@app.command()
def show(ref: Ref, env_option: Options = None, json: AsJson = False) -> None:
    """Show what an environment holds: tools, tasks, rubric, user, limits, models."""
    from drawbar.loading import load_environment

    shown = _described(load_environment(ref, pairs(env_option, "--env-option")))
    if json:
        return print_json(shown)
    typer.echo(f"{shown['name']} {shown['version']}  {shown['description']}".rstrip())
    for name in (
        "servers",
        "tools",
        "tasks",
        "rubric",
        "judge",
        "user",
        "limits",
        "sampling",
        "models",
        "default_model",
        "system",
    ):
        if shown[name] not in (None, {}, []):
            _print_part(name, shown[name])


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, '-' and '_'.")],
    directory: Annotated[Path, typer.Option("--in", help="Where to make the project's folder.")] = Path(),
) -> None:
    """Write a new environment: a Python project whose tests pass, to be changed into yours."""
    from drawbar.scaffold import write_project

    for path in write_project(name, directory):
        typer.echo(f"  {path}")
    folder = directory / name
    typer.echo(f"\nRun it:       drawbar run {folder}\nTest it:      pip install -e {folder} && pytest {folder}")
    typer.echo(f"Validate it:  drawbar env validate {folder}")


@app.command()
def validate(
    ref: Ref,
    env_option: Options = None,
    tasks: Annotated[int, typer.Option("-n", min=1, help="Try at most so many tasks.")] = 1000,
    oracle: Annotated[bool, typer.Option(help="Leave the oracle out, for an environment without one.")] = True,
    json: AsJson = False,
) -> None:
    """Prove an environment fit for use: an oracle gets everything, doing nothing gets nothing, tools are portable."""
    import sys

    import anyio

    from drawbar.loading import load_environment
    from drawbar.validation import validate as validate_environment

    environment = load_environment(ref, pairs(env_option, "--env-option"))
    uvloop = {"use_uvloop": sys.platform != "win32"}
    found: Findings = anyio.run(
        lambda: validate_environment(environment, limit=tasks, oracle=oracle), backend_options=uvloop
    )
    if json:
        problems = [{"check": p.check, "what": p.what, "advice": p.advice} for p in found.problems]
        print_json({"environment": environment.name, "valid": found.valid, "tasks": found.tasks, "problems": problems})
    else:
        _print_findings(environment.name, found)
    if not found.valid:
        raise typer.Exit(1)


def _described(environment: Environment) -> dict[str, Any]:
    count = sum(1 for _ in islice(environment.iter_tasks(), _COUNTED + 1))
    first = next(environment.iter_tasks(1), None)
    return {
        "name": environment.name,
        "version": environment.version,
        "description": environment.description,
        "servers": {name: _server(server) for name, server in environment.servers.items()},
        "tools": [_tool(tool) for tool in environment.tools],
        "tasks": {
            "count": count if count <= _COUNTED else f"more than {_COUNTED}",
            "first": None if first is None else {"key": first.key, "prompt": first.messages[-1].get("content")},
        },
        "rubric": {
            "version": environment.rubric_version,
            "scorers": [
                {"name": s.name, "kind": s.kind, "weight": s.weight, "judge": s.judge.model if s.judge else None}
                for s in environment.scoring.scorers.values()
            ],
        },
        "judge": environment.judge.model if environment.judge else None,
        "user": _user(environment),
        "limits": {name: value for name in ("turns", "tokens", "cost", "seconds")
                   if (value := getattr(environment.limits, name)) is not None},
        "sampling": dict(environment.sampling),
        "models": sorted(environment.models),
        "default_model": environment.default_model,
        "system": environment.system,
    }  # fmt: skip


def _user(environment: Environment) -> dict[str, Any] | None:
    """Who plays the user, and in how many tasks; None: they end with the agent's first answer."""
    from drawbar.user import ModelUser, ReplayUser, default_template, user_for
    from drawbar.user_part import UserPart

    user = environment.user or ReplayUser()
    played = sum(user_for(user, task) is not None for task in islice(environment.iter_tasks(), _COUNTED))
    if environment.user is None and not played:
        return None
    shown: dict[str, Any] = {"mode": UserPart.begun(user).mode, "tasks": played}
    if isinstance(user, ModelUser):
        template = "the default" if user.template == default_template() else "its own"
        shown |= {"model": user.model, "max_turns": user.max_turns, "template": template}
        shown |= {"sampling": dict(user.sampling)} if user.sampling else {}
    return shown


def _server(server: Any) -> str:
    kind = type(server).__name__.removesuffix("Server").lower()
    place = getattr(server, "url", None) or " ".join(getattr(server, "command", ()))
    cassette = server.cassette
    recorded = f", from {cassette.path} ({cassette.mode})" if cassette is not None else ""
    return f"{kind} {place}".strip() + f" ({server.scope}{recorded})"


def _tool(tool: Any) -> str:
    words = (tool.__doc__ or "").strip().splitlines()
    return f"{getattr(tool, '__name__', tool)}: {words[0]}" if words else str(getattr(tool, "__name__", tool))


def _print_part(name: str, value: Any) -> None:
    match value:
        case {"scorers": scorers}:
            typer.echo(f"\nrubric {value['version']}")
            for s in scorers:
                judge = f"  judge {s['judge']}" if s["judge"] else ""
                typer.echo(f"  {s['name']:<28} {s['kind']:<7} weight {s['weight']:g}{judge}")
        case {"count": count, "first": first}:
            typer.echo(f"\ntasks: {count}" + (f", the first {first['key']}: {first['prompt']}" if first else ""))
        case dict():
            typer.echo(f"\n{name}")
            for key, item in value.items():
                typer.echo(f"  {key:<28} {item}")
        case list():
            typer.echo(f"\n{name}")
            for item in value:
                typer.echo(f"  {item}")
        case _:
            typer.echo(f"\n{name}: {value}")


def _print_findings(name: str, found: Findings) -> None:
    for problem in found.problems:
        typer.echo(f"FAILED {problem.check}: {problem.what}\n       {problem.advice}")
    if found.valid:
        typer.echo(f"{name} is fit for use: {counted(found.tasks, 'task')} tried, {counted(found.tools, 'tool')}.")
    else:
        typer.echo(f"{name} is not fit for use: {counted(len(found.problems), 'problem')}.")
