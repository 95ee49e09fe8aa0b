"""How `drawbar connect` says what to do: for a person, step by step, and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from drawbar.connecting.documents import MISSING
from drawbar.connecting.places import Placed, shown
from drawbar.hiding import hidden, secret_values

if TYPE_CHECKING:
    from drawbar.connecting.writing import Change, Edited
    from drawbar.connection import Connection, Setup
    from drawbar.rollout.access import OpenSession

Step = tuple[str, str]
"""What to do, and the lines to do it with."""


def print_steps(
    name: str,
    found: Connection,
    setup: Setup,
    files: Sequence[Placed],
    kept: Sequence[Placed],
    opened: OpenSession | None,
    written: Sequence[Edited] | None,
) -> None:
    """Everything, in the order in which it is done."""
    speaks = f"speaks {found.dialect}" + (f" and MCP {found.mcp}" if found.mcp else "")
    typer.echo(f"{typer.style(found.title, bold=True)} {speaks}.\n")
    for edited in written or ():
        print_edited(edited)
    if written:
        typer.echo()
    steps = list(_steps(setup, files, done=written is not None))
    for number, (what, lines) in enumerate(steps, 1):
        lead = f"{number}. " if len(steps) > 1 else ""
        typer.echo(f"{lead}{what}\n\n{lines}\n")
    if setup.instead:
        lines = _indented(exports(setup.instead))
        typer.echo(f"Or leave your code as it is, and set in the shell that starts it:\n\n{lines}\n")
    for sentence in setup.notes:
        typer.echo(sentence)
    if setup.example is not None:
        typer.echo(f"{setup.example} stands for your model: name it with --model.")
    if opened is not None:
        _say_session(opened, secret=written is not None)
    if written is None and (files or kept):
        names = " and ".join(dict.fromkeys(shown(each.file) for each in [*kept, *files]))
        typer.echo(f"The same command with --write puts it into {names}; --undo takes it out again.")
    elif written:
        typer.echo(f"drawbar connect {name} --undo takes it out again.")


def _say_session(opened: OpenSession, *, secret: bool) -> None:
    typer.echo(f"All that it does now belongs to the session {opened.id}: drawbar show {opened.id}")
    if secret:
        typer.echo("Its files now hold that session's key: connect again for another session.")


def _steps(setup: Setup, files: Sequence[Placed], *, done: bool) -> Iterator[Step]:
    variables = setup.variables
    if done and setup.kept:
        variables = {name: variables[name] for name in setup.unkept}
    if variables:
        yield "In the shell that starts it (not in the gateway's):", _indented(exports(variables))
    if not done:
        for each in files:
            there = "beside what stands there" if each.file.exists() else "a new file"
            yield f"In {shown(each.file)}, {there}:", _indented(each.text)
    if setup.once:
        yield "Once:", _indented("\n".join(setup.once))
    if setup.code and setup.program:
        yield f"These lines in your program, or all of it as {setup.program}:", setup.code.rstrip()
    elif setup.code:
        yield "Run:", setup.code.rstrip()
    if setup.run:
        ask = f"\n{setup.ask.replace('PROMPT', '...')}" if setup.ask else ""
        yield "Start it" + (", or ask it one thing:" if ask else ":"), _indented(setup.run + ask)


def exports(variables: Mapping[str, str]) -> str:
    """The lines by which a shell sets them."""
    return "\n".join(f"export {name}={_quoted(value)}" for name, value in variables.items())


def _quoted(value: str) -> str:
    import shlex

    return f'"{value}"' if value.startswith("$") else shlex.quote(value)


def _indented(text: str) -> str:
    return textwrap.indent(text, "   ")


def print_edited(edited: Edited) -> None:
    """One file, and what changed in it."""
    state = " (removed: nothing else was in it)" if edited.removed else "" if edited.changes else " (as it was)"
    typer.echo(typer.style(shown(edited.file), bold=True) + state)
    for change in edited.changes:
        for sign, value, color in (("-", change.before, "red"), ("+", change.after, "green")):
            if value is not MISSING:
                text = _value(change, value, old=sign == "-")
                typer.echo(typer.style(f"  {sign} {'.'.join(change.path)} = {text}", fg=color))
    for path in edited.left:
        typer.echo(f"  {'.'.join(path)} was changed since, and stays")
    if edited.backup is not None and edited.changes:
        typer.echo(f"  as it was: {shown(edited.backup)}")


def _value(change: Change, value: Any, *, old: bool) -> str:
    """A value as JSON; the user's own keys are not shown."""
    text = json.dumps(value, ensure_ascii=False)
    return hidden(text, secret_values(dict(_texts(change.path[-1], value)))) if old else text


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(key, inner)


def described(
    name: str,
    found: Connection,
    setup: Setup,
    files: Sequence[Placed],
    kept: Sequence[Placed],
    gateway: str,
    opened: OpenSession | None,
    written: Sequence[Edited] | None,
) -> dict[str, Any]:
    """All of it as JSON."""
    return {
        "agent": name,
        "title": found.title,
        "dialect": found.dialect,
        "mcp": found.mcp,
        "gateway": gateway,
        "session": None if opened is None else {"id": opened.id, "url": opened.base_url, "mcp_url": opened.mcp_url},
        "variables": dict(setup.variables),
        "unkept": list(setup.unkept if setup.kept else setup.variables),
        "files": [_placed_json(each) for each in files],
        "kept": [_placed_json(each) for each in kept],
        "once": list(setup.once),
        "run": setup.run,
        "ask": setup.ask,
        "code": setup.code,
        "program": setup.program,
        "instead": dict(setup.instead),
        "notes": list(setup.notes),
        "written": None if written is None else [edited_json(edited) for edited in written],
    }


def _placed_json(each: Placed) -> dict[str, Any]:
    settings = [{"path": list(s.path), "value": s.value, "mode": s.mode} for s in each.settings]
    return {"file": str(each.file), "text": each.text, "settings": settings}


def edited_json(edited: Edited) -> dict[str, Any]:
    """What was done to one file."""
    return {
        "file": str(edited.file),
        "changed": [".".join(change.path) for change in edited.changes],
        "backup": None if edited.backup is None else str(edited.backup),
        "removed": edited.removed,
        "left": [".".join(path) for path in edited.left],
    }
