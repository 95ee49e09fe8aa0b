"""`drawbar alerts`: how the alerts of a configuration stand, and a message to see whether their webhooks work."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli.output import AsJson, ago, print_json, reading
from drawbar.errors import UnknownName

if TYPE_CHECKING:
    from rich.table import Table

    from drawbar.alerts.rule import AlertRule
    from drawbar.alerts.webhook import Webhook
    from drawbar.record.store import Store

app = typer.Typer(help="List alerts and how they stand; try their webhooks.")

_Config = Annotated[
    Path | None, typer.Option("--config", envvar="DRAWBAR_CONFIG", help="The server's drawbar.toml.", dir_okay=False)
]
_StoreUrl = Annotated[
    str | None,
    typer.Option("--store", metavar="URL", help="The server's store. Default: $DRAWBAR_STORE, or what the file says."),
]
_STYLES = {"firing": "bold red", "pending": "yellow"}
_NONE = "There are no alerts. A table [alerts.NAME] of drawbar.toml makes one; name the file with --config."


@app.callback(invoke_without_command=True)
def alerts(context: typer.Context, config: _Config = None, store: _StoreUrl = None, json: AsJson = False) -> None:
    """List alerts: what each measures now, how it stands since when, and whether its webhooks were told."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.text import Text

    from drawbar.config.made_alerts import alerts_of
    from drawbar.config.reading import read_configuration

    effective = read_configuration(config, {"store": ("--store", store)})
    rules = alerts_of(effective)
    found: list[dict[str, Any]] = []
    if rules:
        with reading(effective.configuration.store) as source:
            found = _described(source, rules)
    if json:
        print_json(found)
    else:
        Console().print(_table(found, rules) if found else Text(_NONE), highlight=False)


@app.command(name="test")
def send_test(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The alert whose webhooks are to be tried.")],
    config: _Config = None,
    json: AsJson = False,
) -> None:
    """Send a test message to the webhooks of an alert, once. Status 1: one did not take it."""
    import anyio

    from drawbar.config.made_alerts import alerts_of, webhooks_of
    from drawbar.config.reading import read_configuration

    effective = read_configuration(config)
    rules, webhooks = alerts_of(effective), webhooks_of(effective)
    rule = next((rule for rule in rules if rule.name == name), None)
    if rule is None:
        raise UnknownName("alert", name, [rule.name for rule in rules])
    found = anyio.run(_tried, rule, webhooks)
    if json:
        print_json(found)
    elif not found:
        typer.echo(f"{name} has no webhook. A table [webhooks.NAME] of drawbar.toml makes one.")
    for each in () if json else found:
        typer.echo(f"{each['webhook']} ({each['url']}): {'sent' if each['sent'] else each['error']}")
    if not found or not all(each["sent"] for each in found):
        raise typer.Exit(1)


async def _tried(rule: AlertRule, webhooks: dict[str, Webhook]) -> list[dict[str, Any]]:
    import socket

    import aiohttp

    from drawbar.alerts.message import messages
    from drawbar.alerts.webhook import deliver
    from drawbar.proxy.upstream import UpstreamError
    from drawbar.record.alerts import Standing
    from drawbar.record.observing import Seen

    standing, found = Standing(name=rule.name, since=time.time()), []
    async with aiohttp.ClientSession(trust_env=True) as client:
        for message in messages(rule, standing, Seen(value=None), "test", socket.gethostname()):
            webhook, error = webhooks[message.webhook], None
            try:
                await deliver(client, webhook, message)
            except UpstreamError as failed:
                error = str(failed)
            found.append({"webhook": webhook.name, "url": webhook.shown, "sent": error is None, "error": error})
    return found


def _described(store: Store, rules: tuple[AlertRule, ...]) -> list[dict[str, Any]]:
    """How each alert stands, and what its measure comes to now. What is of a gateway itself, only its metrics tell."""
    from drawbar.alerts.observing import observe
    from drawbar.record.alerts import AlertTable

    table, now, found = AlertTable(store), time.time(), []
    standings = table.standings()
    for rule in rules:
        seen = None if rule.local else observe(store, rule, now)
        standing = standings.get(rule.name)
        found.append({
            "alert": rule.name, "rule": rule.said, "where": rule.where or None,
            "state": None if rule.local else standing.state if standing is not None else "ok",
            "since": standing and standing.since, "incident": standing and standing.incident,
            "told": standing and standing.told, "repeated": standing.repeated if standing is not None else 0,
            "value": seen and seen.value, "observations": seen and seen.count, "at_least": rule.fewest,
            "rubric": seen and seen.rubric, "left_out": seen and seen.others,
            "messages": [
                {"webhook": m.webhook, "state": m.state, "attempts": m.attempts, "error": m.error, "created": m.created}
                for m in table.newest(rule.name)
            ],
        })  # fmt: skip
    return found


def _table(found: list[dict[str, Any]], rules: tuple[AlertRule, ...]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("alert", "state", "since", "now"):
        table.add_column(heading, no_wrap=True)
    for heading in ("fires when", "told"):
        table.add_column(heading, overflow="fold")
    now = time.time()
    for alert, rule in zip(found, rules, strict=True):
        since = "" if alert["since"] is None or alert["state"] == "ok" else ago(now - alert["since"], alert["since"])
        state = alert["state"] or "see /metrics"
        where = f", {rule.where}" if rule.where else ""
        table.add_row(
            Text(rule.name), Text(state, style=_STYLES.get(state, "")), since, _value(alert), Text(rule.said + where),
            Text(_told(alert)),
        )  # fmt: skip
    return table


def _value(alert: dict[str, Any]) -> str:
    if alert["observations"] is None:
        return ""
    few = f" of {alert['at_least']} needed" if alert["observations"] < alert["at_least"] else ""
    value = "nothing" if alert["value"] is None else f"{alert['value']:.4g}"
    return f"{value} ({alert['observations']:,}{few})"


def _told(alert: dict[str, Any]) -> str:
    said = []
    for message in alert["messages"]:
        why = f": {message['error']}" if message["error"] and message["state"] != "sent" else ""
        said.append(f"{message['webhook']} {message['state']}{why}")
    return ", ".join(said)
