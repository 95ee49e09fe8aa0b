"""`drawbar connect`: what an agent that the user has must be told to work through a gateway."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlsplit

import typer

from drawbar.cli.output import AsJson, note, print_json
from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.connecting.places import Scope
    from drawbar.connection import Connection, Gate
    from drawbar.rollout.access import OpenSession

app = typer.Typer(add_completion=False)

DEFAULT = "http://127.0.0.1:8787"
"""Where `drawbar serve` listens unless it is told otherwise."""


def _names(incomplete: str) -> list[str]:
    """What the shell completes an agent's name to."""
    from drawbar.connecting.found import known_connections

    return [name for name in known_connections() if name.startswith(incomplete.replace("-", "_"))]


_LISTED = ("title", "kind", "dialect", "mcp", "needs")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of the gateway."""

    url: str
    environment: str | None
    model: str | None
    key: str | None
    admin_key: str | None


@app.command()
def connect(
    agent: Annotated[
        str | None,
        typer.Argument(metavar="[AGENT]", help="An agent, framework or SDK; none: list them.", autocompletion=_names),
    ] = None,
    gateway: Annotated[str, typer.Option(metavar="URL", help="Where `drawbar serve` runs.")] = DEFAULT,
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", metavar="NAME", help="Give it the tools of this environment.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model that it asks for.")] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", "--key-env", metavar="VARIABLE", help="The variable that holds a key, if the gateway wants one."
        ),
    ] = None,
    session: Annotated[
        bool, typer.Option("--session", help="Open a session for it: what it does is one trajectory for sure.")
    ] = False,
    gateway_key_env: Annotated[
        str, typer.Option(metavar="NAME", help="With --session: the variable that holds the gateway's admin key.")
    ] = "DRAWBAR_ADMIN_KEY",
    write: Annotated[bool, typer.Option("--write", help="Write it into the agent's configuration files.")] = False,
    undo: Annotated[bool, typer.Option("--undo", "--remove", help="Take out again what --write put there.")] = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="The project to write into. Default: this folder.", file_okay=False)
    ] = None,
    everywhere: Annotated[bool, typer.Option("--global", help="Write for all projects, into your home.")] = False,
    probe: Annotated[bool, typer.Option(help="See whether a gateway answers.")] = True,
    json: AsJson = False,
) -> None:
    """Print how an agent that you have is connected to a gateway, or write it into its configuration.

    Every agent keeps all that its configuration says already. `drawbar connect` alone lists what can be connected.
    """
    from drawbar.connecting.found import connection
    from drawbar.connecting.places import Scope

    if agent is None:
        _list(json)
        return
    found = connection(agent)
    name = agent.strip().lower().replace("-", "_")
    if directory is not None and everywhere:
        raise ConfigurationError("--dir and --global exclude each other.")
    scope = Scope((directory or Path.cwd()).resolve(), everywhere, strict=directory is not None)
    if undo:
        _undo(name, scope, explicit=directory is not None or everywhere, json=json)
        return
    admin = os.environ.get(gateway_key_env) or None
    asked = Asked(_url(gateway), environment, model, _variable(key), admin)
    _connect(name, found, asked, scope, write=write, session=session, probing=probe, json=json)


def _connect(
    name: str,
    found: Connection,
    asked: Asked,
    scope: Scope,
    *,
    write: bool,
    session: bool,
    probing: bool,
    json: bool,
) -> None:
    from drawbar.cli.connect_text import described, print_steps
    from drawbar.connecting.places import placed

    setup = found.setup(_gate(asked, None))
    placed([*setup.kept, *setup.files], scope)  # what is impossible is said before anything is opened
    if write and not (setup.kept or setup.files):
        raise ConfigurationError(_nothing_to_write(name, found, code=bool(setup.code)))
    opened = _open(name, asked) if session else None
    if opened is not None:
        setup = found.setup(_gate(asked, opened))
    files = placed([*setup.kept, *setup.files] if write else setup.files, scope)
    written = _written(name, files) if write else None
    if json:
        print_json(described(name, found, setup, files, placed(setup.kept, scope), asked.url, opened, written))
        return
    print_steps(name, found, setup, files, placed(setup.kept, scope), opened, written)
    if probing:
        _advise(asked, opened)


def _written(name: str, files: Any) -> list[Any]:
    from drawbar.connecting.ledger import Ledger
    from drawbar.connecting.writing import undo, write

    ledger = Ledger()
    done = [write(ledger, each.file, each.settings, agent=name, root=each.root) for each in files]
    here = {str(edited.file) for edited in done}
    roots = {str(each.root) for each in files}
    stale = [entry for entry in ledger.entries(name) if entry.root in roots and entry.file not in here]
    return done + [undo(ledger, entry) for entry in stale]


def _nothing_to_write(name: str, found: Connection, *, code: bool) -> str:
    how = "is used from code" if code else "takes its model's address from variables alone"
    return f"{found.title} {how}: there is no file to write. `drawbar connect {name}` prints what to do."


def _undo(name: str, scope: Scope, *, explicit: bool, json: bool) -> None:
    from drawbar.cli.connect_text import edited_json, print_edited
    from drawbar.connecting.ledger import Ledger
    from drawbar.connecting.places import home
    from drawbar.connecting.writing import undo

    ledger = Ledger()
    entries = ledger.entries(name)
    roots = [home()] if scope.everywhere else [scope.project] if explicit else [scope.project, home()]
    chosen = next((here for root in roots if (here := [e for e in entries if e.root == str(root)])), [])
    done = [undo(ledger, entry) for entry in chosen]
    if json:
        print_json({"agent": name, "undone": [edited_json(edited) for edited in done]})
        return
    for edited in done:
        print_edited(edited)
    if not done:
        note(f"Nothing of {name} was written here by `drawbar connect`.")
    for root in sorted({entry.root for entry in entries if entry not in chosen}):
        note(f"It is still connected in {root}: {'--global' if root == str(home()) else f'--dir {root}'} takes it out.")


def _list(json: bool) -> None:
    from drawbar.connecting.found import connection, known_connections

    rows = [(name, connection(name)) for name in known_connections()]
    if json:
        print_json([{"name": name, **{key: getattr(found, key) for key in _LISTED}} for name, found in rows])
        return
    for kind in sorted({found.kind for _, found in rows}, key=str.lower):
        typer.echo(typer.style(f"{kind:<18} {'speaks':<10} {'MCP':<11} needs", bold=True))
        for name, found in rows:
            if found.kind == kind:
                typer.echo(f"{name:<18} {found.dialect:<10} {found.mcp or 'none':<11} {found.needs}")
        typer.echo()
    typer.echo("drawbar connect NAME says how; --write writes it into the agent's files, --undo takes it out.")


def _gate(asked: Asked, opened: OpenSession | None) -> Gate:
    from drawbar.connection import Gate

    if opened is not None:
        tools = opened.mcp_url if asked.environment is not None else None
        return Gate(base_url=opened.base_url, mcp_url=tools, model=asked.model)
    tools = None if asked.environment is None else f"{asked.url}/mcp/{quote(asked.environment, safe='')}"
    return Gate(base_url=asked.url, mcp_url=tools, model=asked.model, key_variable=asked.key)


def _open(name: str, asked: Asked) -> OpenSession:
    """A session at the gateway. Raises `ConfigurationError`, `StoreError`, `ToolServerError`."""
    import anyio

    from drawbar.rollout.remote import connected
    from drawbar.sessions import SessionSpec

    spec = SessionSpec(environment=asked.environment, model=asked.model, harness=name)

    async def opened() -> OpenSession:
        async with connected(asked.url, asked.admin_key) as access:
            return await access.open(spec)

    return anyio.run(opened)


def _advise(asked: Asked, opened: OpenSession | None) -> None:
    from drawbar.connecting.probe import advice, probe

    value = None if asked.key is None else os.environ.get(asked.key)
    found = probe(asked.url, key=value, admin_key=asked.admin_key)
    wanted = found if opened is None else type(found)(found.version, found.environments)
    for line in advice(wanted, asked.url, asked.environment, key=asked.key, has_key=bool(value)):
        note(line)
    if asked.key is not None and not value and opened is None:
        note(f"{asked.key} is not set here: the shell that starts the agent must have it.")


def _url(given: str) -> str:
    url = given.strip().rstrip("/").removesuffix("/v1")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"--gateway is a URL such as {DEFAULT}: not {given!r}.")
    return url


def _variable(given: str | None) -> str | None:
    """The name of a variable. What looks like a key is not repeated."""
    if given is None or re.fullmatch(r"[A-Z_][A-Z0-9_]*", given):
        return given
    raise ConfigurationError(
        "--key takes the name of the variable that holds the key, in capitals, and not the key, which would stay in "
        "the shell's history. Set the variable (export DRAWBAR_KEY=...), then say --key DRAWBAR_KEY."
    )
