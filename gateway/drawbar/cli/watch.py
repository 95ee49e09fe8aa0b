"""`drawbar watch`: live sessions and their rewards, as they happen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from drawbar.cli.output import StoreUrl, reading
from drawbar.cli.where import Where

if TYPE_CHECKING:
    from drawbar.watching.sources import Source

app = typer.Typer(add_completion=False)


@app.command()
def watch(
    where: Where = "",
    interval: Annotated[
        float, typer.Option("--interval", "-i", min=0.2, max=60, metavar="SECONDS", help="Between two looks.")
    ] = 1.0,
    store: StoreUrl = None,
    gateway: Annotated[str | None, typer.Option(metavar="URL", help="Ask the gateway there, and not a store.")] = None,
    gateway_key_env: Annotated[
        str, typer.Option(help="The environment variable that holds the gateway's admin key.")
    ] = "DRAWBAR_ADMIN_KEY",
    json: Annotated[bool, typer.Option("--json", help="Print each change as one line of JSON, until Ctrl-C.")] = False,
) -> None:
    """Watch sessions as they work, end and are scored.

    On a terminal: q quits, space pauses, s and r sort, / filters, the arrows choose a session and enter opens it.
    Elsewhere each thing that happens is a line.
    """
    from drawbar.record.filter import where as read

    read(where)
    with _source(store, gateway, os.environ.get(gateway_key_env)) as (source, name):
        try:
            _show(source, name, where, interval, json)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


@contextmanager
def _source(store: str | None, gateway: str | None, key: str | None) -> Iterator[tuple[Source, str]]:
    from drawbar.watching.sources import GatewaySource, StoreSource

    if gateway is not None:
        yield GatewaySource(gateway, key), gateway
        return
    with reading(store) as opened:
        yield StoreSource(opened), opened.url


def _show(source: Source, name: str, where: str, interval: float, json: bool) -> None:
    from rich.console import Console

    console = Console()
    if json:
        _print_json(source, where, interval)
    elif console.is_terminal and _has_keys():
        from drawbar.cli.watch_view import View

        View(source, name, where, interval, console).run()
    else:
        _print_plain(source, where, interval)


def _has_keys() -> bool:
    """Whether this system has terminals of the kind whose keys we read."""
    from importlib.util import find_spec

    return find_spec("termios") is not None


def _print_json(source: Source, where: str, interval: float) -> None:
    from threading import Event

    from drawbar.watching.changes import to_lines

    for look in source.changes(where, interval, Event()):
        sys.stdout.write(to_lines(look).decode())
        sys.stdout.flush()


def _print_plain(source: Source, where: str, interval: float) -> None:
    from threading import Event

    from drawbar.cli.watch_plain import Plain

    plain = Plain()
    for look in source.changes(where, interval, Event()):
        for line in plain.lines(look):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
