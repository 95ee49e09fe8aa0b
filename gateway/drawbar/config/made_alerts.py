"""The alerts and webhooks that a configuration stands for."""

from __future__ import annotations

import msgspec

from drawbar.alerts.rule import AlertRule
from drawbar.alerts.webhook import Webhook
from drawbar.config.configuration import AlertTable, Length
from drawbar.config.reading import Effective
from drawbar.errors import ConfigurationError, UnknownName
from drawbar.record.filter_values import BadValue, seconds


def webhooks_of(effective: Effective) -> dict[str, Webhook]:
    """Where alerts are told, by name. Raises `ConfigurationError`."""
    found = {}
    for name, table in effective.configuration.webhooks.items():
        try:
            found[name] = Webhook(name=name, **msgspec.structs.asdict(table))
        except ConfigurationError as error:
            raise ConfigurationError(f"{effective.source('webhooks', name)}, webhooks.{name}: {error}") from error
    return found


def alerts_of(effective: Effective) -> tuple[AlertRule, ...]:
    """What is looked at. Raises `ConfigurationError`."""
    found = []
    for name, table in effective.configuration.alerts.items():
        try:
            found.append(_rule(name, table, effective))
        except (ConfigurationError, UnknownName, BadValue) as error:
            raise ConfigurationError(f"{effective.source('alerts', name)}, alerts.{name}: {error}") from error
    return tuple(found)


def _rule(name: str, table: AlertTable, effective: Effective) -> AlertRule:
    known = effective.configuration.webhooks
    for webhook in table.webhooks or ():
        if webhook not in known:
            raise UnknownName("webhook", webhook, known)
    return AlertRule(
        name=name, measure=table.measure, below=table.below, above=table.above, clear=table.clear, last=table.last,
        window=_length("window", table.window), where=table.where, rubric=table.rubric, at_least=table.at_least,
        lasting=_length("lasting", table.lasting) or 0.0, repeat=_length("repeat", table.repeat),
        webhooks=tuple(known if table.webhooks is None else table.webhooks),
    )  # fmt: skip


def _length(name: str, value: Length | None) -> float | None:
    if value is None:
        return None
    try:
        found = seconds(str(value)).low
    except BadValue as error:
        raise ConfigurationError(f"{name}: expected {error}") from error
    if found < 0 or (found == 0 and name != "lasting"):
        raise ConfigurationError(f"{name} is a length of time, not {value!r}")
    return found
