"""What a webhook is told: JSON whose `text` says all of it in a sentence, as Slack and its like show it."""

from __future__ import annotations

import time
from typing import Any, Literal, TypeAlias

import orjson

from drawbar.alerts.rule import AlertRule, length
from drawbar.ids import new_id
from drawbar.record.alerts import AlertMessage, Standing
from drawbar.record.observing import Seen

Told: TypeAlias = Literal["firing", "resolved", "test"]


def messages(rule: AlertRule, standing: Standing, seen: Seen, told: Told, gateway: str) -> list[AlertMessage]:
    """One for each of the rule's webhooks, to be sent now."""
    now = time.time()
    return [
        AlertMessage(
            id=(id := new_id("msg")), alert=rule.name, webhook=webhook, due=now, created=now,
            body=orjson.dumps({"id": id, **described(rule, standing, seen, told, gateway)}),
        )
        for webhook in rule.webhooks
    ]  # fmt: skip


def described(rule: AlertRule, standing: Standing, seen: Seen, told: Told, gateway: str) -> dict[str, Any]:
    """What a message says, beside its id. Times are unix seconds."""
    limits = {name: value for name in ("below", "above", "clear") if (value := getattr(rule, name)) is not None}
    return {
        "type": f"alert.{told}",
        "text": text(rule, standing, seen, told, gateway),
        "alert": rule.name,
        "incident": standing.incident,
        "repeated": standing.repeated,
        "measure": rule.measure,
        "value": seen.value,
        **limits,
        "over": rule.span,
        "where": rule.where or None,
        "rubric": seen.rubric,
        "observations": seen.count,
        "left_out": seen.others,
        "since": standing.since,
        "at": time.time(),
        "gateway": gateway if rule.local else None,
    }


def text(rule: AlertRule, standing: Standing, seen: Seen, told: Told, gateway: str) -> str:
    """The same in a sentence."""
    if told == "test":
        return f"[drawbar] Test of the alert {rule.name}: {rule.said}. Nothing is wrong."
    side = "below" if rule.below is not None else "above"
    lasted = round((standing.told or standing.since) - standing.since)
    again = f", still after {length(lasted)}" if standing.repeated else ""
    state = "RESOLVED" if told == "resolved" else "FIRING"
    found = f"{rule.measure} is {_number(seen.value)}"
    limit = f"the limit is {side} {rule.limit:g}" if told == "resolved" else f"{side} {rule.limit:g}{again}"
    return f"[drawbar] {state} {rule.name}: {found}, {limit} ({_over(rule, seen, gateway)})"


def _over(rule: AlertRule, seen: Seen, gateway: str) -> str:
    if rule.local:
        return f"gateway {gateway}, {rule.span}"
    said = [rule.span if rule.of == "dollars" else f"{seen.count:,} {rule.counted} in {rule.span}"]
    if rule.last is not None:
        said = [f"the last {seen.count:,} {rule.counted}"]
    if rule.where:
        said.append(f"where {rule.where}")
    if seen.rubric is not None:
        said.append(f"rubric {seen.rubric}")
    if seen.others:
        said.append(f"{seen.others:,} with scores of other versions left out")
    return ", ".join(said)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
