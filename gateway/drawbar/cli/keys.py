"""`drawbar keys`: keys for the clients of `drawbar serve`, in its store."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli.output import AsJson, print_json
from drawbar.errors import ConfigurationError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drawbar.record.store import Store

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke keys for clients of the server.")

_CONFIG = typer.Option("--config", envvar="DRAWBAR_CONFIG", help="A drawbar.toml that names the store.", dir_okay=False)
_STORE = typer.Option("--store", help="The server's store: a file or a URL.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called in records and messages.")],
    project: Annotated[str | None, typer.Option(help="Noted with its sessions.")] = None,
    environment: Annotated[
        list[str] | None, typer.Option(help="An environment whose tools it may use (default: all). Repeatable.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model that it may name; * stands for anything. Repeatable.")
    ] = None,
    budget_day: Annotated[float | None, typer.Option(min=0, help="US dollars a day (UTC).")] = None,
    budget_month: Annotated[float | None, typer.Option(min=0, help="US dollars a month (UTC).")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Requests a minute.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(min=1, help="Tokens a minute, prompts included.")] = None,
    store: Annotated[str | None, _STORE] = None,
    config: Annotated[Path | None, _CONFIG] = None,
) -> None:
    """Make a key and print it: this once, for the store keeps only its digest. Running servers know it at once."""
    import secrets

    import msgspec

    from drawbar.ids import digest, new_id
    from drawbar.proxy.keys import KEY_PREFIX
    from drawbar.record.client_keys import Grant, KeyTable
    from drawbar.record.rows import KeyRow

    grant = Grant(
        project=project, environments=environment or None, models=model or None, budget_day=budget_day,
        budget_month=budget_month, requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute,
    )  # fmt: skip
    key = KEY_PREFIX + secrets.token_hex(20)
    with _opened(store, config) as opened:
        if any(known.name == name and known.revoked is None for known in KeyTable(opened).all()):
            raise ConfigurationError(f"There is a key named {name!r}. Revoke it first, or take another name.")
        row = KeyRow(
            id=new_id("key"), name=name, digest=digest(key.encode()), allows=msgspec.json.encode(grant),
            created=time.time(),
        )  # fmt: skip
        opened.write([row])
    typer.echo(key)
    typer.echo(f"The key of {name!r}. Keep it: it is not shown again.", err=True)


@app.command(name="list")
def list_keys(
    store: Annotated[str | None, _STORE] = None,
    config: Annotated[Path | None, _CONFIG] = None,
    json: AsJson = False,
) -> None:
    """List keys, what they may do, and what they have used."""
    with _opened(store, config) as opened:
        found = _told(opened)
    if json:
        print_json(found)
        return
    for key in found:
        spent = f"${key['cost_today']:.4f} today, ${key['cost_month']:.4f} this month"
        limits = ", ".join(f"{name}={value}" for name, value in key["allows"].items())
        state = "revoked" if key["revoked"] is not None else spent
        typer.echo(f"{key['id']}  {key['name']}  {state}  {limits or 'no limits'}")
    if not found:
        typer.echo("There are no keys. `drawbar keys create NAME` makes one.")


def _told(store: Store) -> list[dict[str, Any]]:
    """Every key of a store, the oldest first."""
    import msgspec

    from drawbar.proxy.keys import day_of
    from drawbar.record.client_keys import KeyTable, grant_of

    table, today, found = KeyTable(store), day_of(time.time()), []
    for row in table.all():
        days, _ = table.used(row.id, today[:7], 0)
        allows = {k: v for k, v in msgspec.structs.asdict(grant_of(row)).items() if v is not None}
        costs = {
            "cost_today": days[today].cost if today in days else 0.0,
            "cost_month": sum(used.cost for used in days.values()),
        }
        times = {"created": row.created, "revoked": row.revoked}
        found.append({"id": row.id, "name": row.name, **times, **costs, "allows": allows})
    return found


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The key's name or id.")],
    store: Annotated[str | None, _STORE] = None,
    config: Annotated[Path | None, _CONFIG] = None,
) -> None:
    """Let a key be of no use any more; running servers know it within seconds."""
    import msgspec

    from drawbar.record.client_keys import KeyTable

    with _opened(store, config) as opened:
        keys = [row for row in KeyTable(opened).all() if row.revoked is None]
        found = next((row for row in keys if name in (row.id, row.name)), None)
        if found is None:
            raise UnknownName("key", name, [row.name for row in keys])
        opened.write([msgspec.structs.replace(found, revoked=time.time())])
    typer.echo(f"{found.name} is revoked.")


@contextmanager
def _opened(store: str | None, config: Path | None) -> Iterator[Store]:
    from drawbar.config.reading import read_configuration
    from drawbar.record.store import Store

    named = read_configuration(config, {"store": ("--store", store)}).configuration.store
    opened = Store.open(named)
    try:
        yield opened
    finally:
        opened.close()
