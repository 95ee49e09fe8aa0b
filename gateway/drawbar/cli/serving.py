"""A gateway as a program: it reads its configuration again at SIGHUP, and ends in order at SIGINT and SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import msgspec
import typer

from drawbar.collector import settle
from drawbar.config.configuration import FIXED
from drawbar.config.made import environments_of, models_of, settings_of
from drawbar.config.reading import Effective, read_configuration
from drawbar.config.redaction import redaction
from drawbar.environment import Environment
from drawbar.errors import ConfigurationError, StoreError, UnknownName
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.record.redaction import Redact
from drawbar.record.store import Store
from drawbar.serving import serving
from drawbar.telemetry.tracing import tracing

if TYPE_CHECKING:
    from drawbar.record.spool import Spool

_AGAIN: Final = getattr(signal, "SIGHUP", None)
_SIGNALS: Final = tuple(number for number in (signal.SIGINT, signal.SIGTERM, _AGAIN) if number is not None)
_LEFT: Final = 1.0
"""Seconds for which a call is told that it was cut off, once its time is up."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the configuration is read, as often as it is asked for."""

    path: Path | None
    flags: Mapping[str, tuple[str, Any]]
    settings: Sequence[str]

    def read(self) -> Effective:
        """Raises `ConfigurationError`."""
        return read_configuration(self.path, self.flags, self.settings)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a gateway is made of."""

    settings: Settings
    models: Models
    environments: dict[str, Environment]
    redact: Redact | None


def parts_of(effective: Effective) -> _Parts:
    """What the configuration stands for. Raises `ConfigurationError` where it stands for nothing."""
    return _Parts(
        settings=settings_of(effective),
        models=models_of(effective),
        environments=environments_of(effective),
        redact=redaction(effective.configuration.redaction),
    )


async def run(reading: Reading, effective: Effective) -> None:
    """Serve until a signal ends it."""
    given = effective.configuration
    parts = parts_of(effective)
    for note in effective.ignored:
        typer.echo(f"Note: {note}", err=True)
    store = Store.open(given.store)
    try:
        with anyio.open_signal_receiver(*_SIGNALS) as signals:
            async with (
                tracing(given.otel) as listeners,
                Gateway(
                    store,
                    parts.models,
                    environments=parts.environments,
                    settings=parts.settings,
                    redact=parts.redact,
                    spool=_spool(given.spool),
                ) as gateway,
                serving(gateway, host=given.host, port=given.port, grace=_LEFT) as url,
            ):
                gateway.recorder.listeners.extend(listeners)
                settle()
                _greet(url, store.url, parts, keyed=bool(parts.settings.keys) or await gateway.keys.required())
                effective = await _until_stopped(gateway, signals, reading, effective)
                await _drain(gateway, signals, effective.configuration.drain)
    finally:
        store.close()


def _spool(path: str | None) -> Spool | None:
    from drawbar.record.spool import Spool

    return None if path is None else Spool(Path(path))


async def _until_stopped(
    gateway: Gateway, signals: AsyncIterator[signal.Signals], reading: Reading, effective: Effective
) -> Effective:
    async for number in signals:
        if number != _AGAIN:
            break
        effective = await reload(gateway, reading, effective)
    return effective


async def reload(gateway: Gateway, reading: Reading, effective: Effective) -> Effective:
    """Read the configuration again, and let the gateway go on with it; with the old one, if the new one is wrong."""
    try:
        fresh = reading.read()
        fixed = {name: getattr(effective.configuration, name) for name in FIXED}
        asked = {name: value for name in FIXED if (value := getattr(fresh.configuration, name)) != fixed[name]}
        fresh = replace(fresh, configuration=msgspec.structs.replace(fresh.configuration, **fixed))
        parts = await anyio.to_thread.run_sync(parts_of, fresh)
    except (ConfigurationError, UnknownName, StoreError) as error:
        typer.echo(f"The configuration was not read again, the old one stays: {error}", err=True)
        return effective
    except Exception as error:  # an environment's own code
        said = f"{type(error).__name__}: {error}"
        typer.echo(
            f"The configuration was not read again, the old one stays. It names code that fails: {said}", err=True
        )
        return effective
    await gateway.reconfigure(
        parts.models, environments=parts.environments, settings=parts.settings, redact=parts.redact
    )
    for name in asked:
        typer.echo(
            f"{name} cannot change while the server runs; it takes the new one when it is started anew.", err=True
        )
    typer.echo("The configuration was read again; new requests see it.", err=True)
    return fresh


async def _drain(gateway: Gateway, signals: AsyncIterator[signal.Signals], limit: float) -> None:
    """Let calls under way end, unless a second signal says that there is no time."""
    typer.echo(f"Stopping: calls under way have {limit:g} seconds to end. A second signal ends them at once.", err=True)

    async def hurry(scope: anyio.CancelScope) -> None:
        async for number in signals:
            if number != _AGAIN:
                gateway.traffic.refuse(0)
                scope.cancel()
                return

    async with anyio.create_task_group() as group:
        group.start_soon(hurry, group.cancel_scope)
        if not await gateway.drain(limit):
            typer.echo(f"{gateway.traffic.under_way} calls did not end in time and are cut off.", err=True)
        group.cancel_scope.cancel()


def _greet(url: str, store: str, parts: _Parts, *, keyed: bool) -> None:
    typer.echo(f"drawbar serves {url}/v1 and records into {store}. Ctrl-C ends it.")
    typer.echo(f"  an OpenAI client:  OPENAI_BASE_URL={url}/v1")
    typer.echo(f"  an Anthropic client:  ANTHROPIC_BASE_URL={url}")
    typer.echo(f"  a Gemini client:  GOOGLE_GEMINI_BASE_URL={url}")
    for name in parts.environments:
        typer.echo(f"  tools of {name}:  {url}/mcp/{name}")
    if keyed:
        typer.echo("  Clients must show one of its keys (`drawbar keys list`).")
    elif parts.settings.loopback:
        typer.echo(
            "  It listens on this machine alone: without keys, whoever reaches it may spend on your provider keys.\n"
            "  Others need `drawbar keys create NAME` and DRAWBAR_ADMIN_KEY; then --host 0.0.0.0."
        )
