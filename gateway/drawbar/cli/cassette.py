"""`drawbar cassette`: make a cassette of a run that is stored, show what one holds, compare two."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli.output import AsJson, StoreUrl, counted, print_json, reading
from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.environment import Environment
    from drawbar.record.store import Store
    from drawbar.tools.cassettes.content import Content
    from drawbar.trajectory import Trajectory

app = typer.Typer(no_args_is_help=True, help="Make, show and compare cassettes: recorded tool calls.")

_SHOWN = 20

Named = Annotated[str, typer.Argument(metavar="CASSETTE", help="A file; or a run or session in the store.")]


@app.command()
def record(
    id: Annotated[str, typer.Argument(metavar="ID", help="Of a run or a session in the store, or its beginning.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it; nothing is written over.")],
    environment: Annotated[
        str | None,
        typer.Option(
            "--env", metavar="ENV", help="Its servers are started and list their tools. Default: the run's own."
        ),
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Write the tool calls of a stored run or session into a cassette."""
    from drawbar.tools.cassettes.format import new_header, write
    from drawbar.tools.cassettes.recording import check_new

    check_new(output)
    with reading(store) as source:
        found = _of_run(source, source.resolve(id)) if environment is None else _loaded(environment)
        tools = {} if found is None else _listed(found, live=False)
        header, recordings = _stored(source, id, tools)
    count = write(output, new_header(header.servers, header.environment), recordings)
    typer.echo(f"{counted(count, 'call')} in {output}")


@app.command()
def show(
    cassette: Named,
    calls: Annotated[bool, typer.Option("--calls", help="List every call.")] = False,
    store: StoreUrl = None,
    json: AsJson = False,
) -> None:
    """Show what a cassette holds, or what one of a stored run would."""
    from drawbar.tools.cassettes.content import described, problems

    header, recordings = _content(cassette, store)
    found = described(header, recordings)
    if json:
        listed = [{"server": r.server, "tool": r.tool, "arguments": r.arguments, "session": r.session, "task": r.task,
                   "error": r.error} for r in recordings] if calls else None  # fmt: skip
        return print_json(found | ({} if listed is None else {"recordings": listed}))
    where = f" of {found['environment']}" if found["environment"] else ""
    typer.echo(
        f"Generation {found['generation']}{where}, recorded {found['recorded'] or 'in the store'}: "
        f"{counted(found['calls'], 'call')} in {counted(found['sessions'], 'session')} of "
        f"{counted(found['tasks'], 'task')}"
    )
    _print_tools(found["tools"])
    for problem in problems(header, recordings):
        typer.echo(f"Beware: {problem}.")
    for recording in recordings if calls else ():
        typer.echo(f"{recording.task or recording.session}  {recording.tool} {_short(recording.arguments)}")


@app.command()
def diff(
    one: Named,
    other: Annotated[
        str, typer.Argument(metavar="OTHER", help="As the first; or an environment, for its tools alone.")
    ],
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="PATH", help="Arguments that do not count. Repeatable.")
    ] = None,
    store: StoreUrl = None,
    json: AsJson = False,
) -> None:
    """Compare two cassettes, or a cassette with the tools of an environment's live servers."""
    from drawbar.tools.cassettes.content import differences

    before = _content(one, store)
    if _is_cassette(other):
        found = differences(before, _content(other, store), ignore or ())
    else:
        found = {"schema": _against_live(before, other)}
    if json:
        return print_json(found)
    for change in found["schema"]:
        typer.echo(f"tool     {change}")
    for kind in ("gone", "new", "changed"):
        for call in found.get(kind, ())[:_SHOWN]:
            typer.echo(f"{kind:<8} {call['tool']} {_short(call['arguments'])}")
        if len(found.get(kind, ())) > _SHOWN:
            typer.echo(f"{kind:<8} … {len(found[kind]) - _SHOWN} more (--json)")
    if not any(found.get(kind) for kind in ("schema", "gone", "new", "changed")):
        typer.echo("No difference.")


def _content(name: str, store: str | None) -> Content:
    from drawbar.tools.cassettes.format import read

    if Path(name).is_file() or name.endswith(".jsonl"):
        return read(Path(name))
    with reading(store) as source:
        return _stored(source, name, {})


def _is_cassette(name: str) -> bool:
    """Whether this is a cassette, or what one can be made of; if not, it is an environment."""
    path = Path(name)
    return name.startswith(("run_", "ses_")) or (path.suffix not in ("", ".py", ".toml") and not path.is_dir())


def _stored(store: Store, id: str, tools: dict[str, Any]) -> Content:
    from drawbar.tools.cassettes.format import Header
    from drawbar.tools.cassettes.stored import recordings, servers_of

    found = store.resolve(id)
    run = store.run(found)
    trajectories = [store.trajectory(found)] if run is None else _last_attempts(store, found)
    calls = list(recordings(trajectories, tools))
    environment = next((t.environment for t in trajectories), None)
    return Header(servers_of(calls, tools), environment=environment), calls


def _last_attempts(store: Store, run: str) -> list[Trajectory]:
    """Attempts that were given up are no part of what a replay should say."""
    found: dict[tuple[str, int], Trajectory] = {}
    for trajectory in store.trajectories(run=run):
        key = trajectory.task.hash if trajectory.task is not None else trajectory.id, trajectory.rollout
        if key not in found or trajectory.attempt >= found[key].attempt:
            found[key] = trajectory
    return list(found.values())


def _of_run(store: Store, id: str) -> Environment | None:
    """The environment of a run, or of a session's run, as it was asked for; None: it was not started by a command."""
    import msgspec

    from drawbar.cli.request import Request, loaded_environment

    run = store.run(id)
    if run is None and (session := store.session(id)) is not None and session.run is not None:
        run = store.run(session.run)
    if run is None:
        return None
    try:
        request = Request.of(run)
    except ConfigurationError:
        return None
    return loaded_environment(msgspec.structs.replace(request, record_cassette=None))


def _loaded(environment: str) -> Environment:
    from drawbar.loading import load_environment

    return load_environment(environment)


def _listed(environment: Environment, *, live: bool) -> dict[str, Any]:
    """The tools of an environment's servers, by server."""
    import anyio

    from drawbar.tools.pool import listed_tools

    return anyio.run(partial(listed_tools, environment, live=live))


def _against_live(before: Content, environment: str) -> list[str]:
    from drawbar.tools.cassettes.drift import schema_changes

    header, live = before[0], _listed(_loaded(environment), live=True)
    servers = {**dict.fromkeys(header.servers), **dict.fromkeys(live)}
    both = [(header.tools(name) if name in header.servers else [], live.get(name, [])) for name in servers]
    return [change for recorded, now in both for change in schema_changes(recorded, now)]


def _print_tools(tools: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("server", "tool", "calls", "arguments", "errors", "", box=None, pad_edge=False)
    for each in tools:
        words = [word for word, holds in (("writes", each["writes"]), ("not listed", not each["listed"])) if holds]
        numbers = (str(each[name]) for name in ("calls", "arguments", "errors"))
        table.add_row(Text(each["server"]), Text(each["tool"]), *numbers, ", ".join(words))
    Console().print(table, highlight=False)


def _short(arguments: Any) -> str:
    import orjson

    text = orjson.dumps(arguments).decode()
    return text if len(text) <= 160 else text[:159] + "…"
