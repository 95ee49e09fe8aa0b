"""What a configuration stands for: the gateway's settings, where models lead, environments, the redaction hook."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from drawbar.config.configuration import Configuration, ModelTable, ServerTable, UpstreamTable
from drawbar.config.made_alerts import alerts_of, webhooks_of
from drawbar.config.reading import Effective
from drawbar.environment import Environment
from drawbar.errors import ConfigurationError, StoreError, UnknownName, nearest
from drawbar.loading import import_beside, load_environment
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.models import CUSTOM_DIALECTS, LITELLM_NAMES, Models
from drawbar.proxy.providers import PROVIDERS, Provider
from drawbar.proxy.routes import ModelRoute
from drawbar.proxy.settings import Settings, hosted_tools
from drawbar.record.client_keys import KeyTable
from drawbar.record.retention import Retention
from drawbar.record.store import Store
from drawbar.score.live_rule import LiveRule
from drawbar.server import CassetteServer, CommandServer, PythonServer, ToolServer, UrlServer
from drawbar.tools.cassettes.settings import CassetteTable
from drawbar.wire import DIALECTS
from drawbar.wire.tokens import TOKEN_SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
OWN_TOOLS: Final = "tools"
"""The environment that the configuration's own tool servers make: they are served at `/mcp/tools`."""


def settings_of(effective: Effective) -> Settings:
    """The gateway's settings. Raises `ConfigurationError`."""
    given = effective.configuration
    return Settings(
        recording=given.recording,
        admin_key=given.admin_key or None,
        keys=frozenset(given.keys),
        stored_keys=given.host not in LOOPBACK and _has_keys(given.store),
        loopback=given.host in LOOPBACK,
        allowed_hosts=frozenset(name.lower() for name in given.allowed_hosts),
        pass_key=given.pass_key,
        max_body=given.max_body,
        keepalive=given.keepalive,
        patience=given.patience,
        live_idle=given.idle,
        stop_tools=frozenset(given.stop_tools),
        webhooks=webhooks_of(effective),
        alerts=alerts_of(effective),
        alert_interval=given.alert_interval,
        score_live=_at(effective, "score_live", lambda: tuple(map(LiveRule.parse, given.score_live))),
        token_ids=given.token_ids,
        withhold=_at(effective, "withhold", lambda: hosted_tools(given.withhold)),
        retries=_retries(given),
        retention=retention_of(effective),
    )


def retention_of(effective: Effective) -> Retention:
    """How long sessions are kept. Raises `ConfigurationError`."""
    given = {name: days for name, days in msgspec.structs.asdict(effective.configuration.retention).items() if days}
    return _at(effective, "retention", lambda: Retention(**given))  # type: ignore[no-any-return]


def _has_keys(store: str) -> bool:
    """Whether there is a store with keys of clients in it."""
    try:
        opened = Store.open(store, read_only=True)
    except StoreError:
        return False
    try:
        return KeyTable(opened).any()
    finally:
        opened.close()


def models_of(effective: Effective) -> Models:
    """Where models lead.

    Raises:
        ConfigurationError: an upstream or a route that cannot be, or the variable of a key that is not set.
    """
    given = effective.configuration
    providers = {
        name: _at(effective, ("upstreams", name), lambda: _provider(name, table))  # noqa: B023 - called at once
        for name, table in given.upstreams.items()
    }
    routes = {
        name: _at(effective, ("models", name), lambda: _route(name, table, given))  # noqa: B023
        for name, table in given.models.items()
    }
    models = Models(
        base_url=given.base_url,
        api_key=_key(effective, given.api_key_env),
        fallbacks=given.fallbacks,
        retries=_retries(given),
        timeout=given.timeout,
        concurrency=given.concurrency,
        dialects=CUSTOM_DIALECTS if given.upstream_dialects is None else given.upstream_dialects,
        tokens=given.upstream_tokens,
        providers=providers,
        routes=routes,
    )
    return models


def environments_of(effective: Effective) -> dict[str, Environment]:
    """The environments whose tools are served, by name.

    Raises:
        ConfigurationError: one cannot be loaded, or two have one name.
    """
    found: dict[str, Environment] = {}
    for environment in _environments(effective):
        if environment.name in found:
            raise ConfigurationError(f"Two environments are named {environment.name}.")
        found[environment.name] = environment
    for rule in map(LiveRule.parse, effective.configuration.score_live):
        if rule.environment not in found:
            said = UnknownName("environment that is served", rule.environment, found)
            raise ConfigurationError(f"{effective.source('score_live')}, score_live: {said}")
    return found


def _environments(effective: Effective) -> Iterator[Environment]:
    for reference in effective.configuration.environments:
        beside = effective.folder / reference
        of_file = effective.source("environments").startswith(str(effective.path)) if effective.path else False
        yield load_environment(str(beside) if of_file and beside.exists() else reference)
    tables = effective.configuration.servers
    if tables:
        servers = {name: _at(effective, ("servers", name), lambda: _server(table, effective))  # noqa: B023
                   for name, table in tables.items()}  # fmt: skip
        yield Environment(name=OWN_TOOLS, description="The tool servers of drawbar.toml.", servers=servers)


def _at(effective: Effective, keys: str | tuple[str, ...], make: Any) -> Any:
    """What this makes; what goes wrong is told with where the setting comes from."""
    try:
        return make()
    except ConfigurationError as error:
        keys = (keys,) if isinstance(keys, str) else keys
        raise ConfigurationError(f"{effective.source(*keys)}, {'.'.join(keys)}: {error}") from error


def _retries(given: Configuration) -> RetryPolicy:
    return RetryPolicy(**msgspec.structs.asdict(given.retries))


def _key(effective: Effective, variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        said = "--api-key-env" if effective.source("api_key_env").startswith("--") else "api_key_env"
        raise ConfigurationError(f"{said} names {variable}, which is not set.")
    return key


def _provider(name: str, table: UpstreamTable) -> Provider:
    if "/" in name:
        raise ConfigurationError("The name of an upstream has no slash in it: its models are named NAME/model.")
    if table.kind != "custom" and table.kind not in PROVIDERS:
        raise ConfigurationError(f"there is no kind {table.kind!r}.{nearest(table.kind, ['custom', *PROVIDERS])}")
    if table.kind == "custom" and table.base_url is None:
        raise ConfigurationError("it needs a base_url, or the kind of a provider that is known by name")
    if unknown := sorted(set(table.dialects or ()) - set(DIALECTS)):
        raise ConfigurationError(f"there is no dialect {unknown[0]!r}.{nearest(unknown[0], DIALECTS)}")
    if table.tokens is not None and table.tokens not in TOKEN_SERVERS:
        raise ConfigurationError(f"tokens: there is no kind {table.tokens!r}.{nearest(table.tokens, TOKEN_SERVERS)}")
    known = PROVIDERS.get(table.kind) or Provider("custom", "", None, dialects=CUSTOM_DIALECTS)
    if table.base_url is not None:
        known = replace(known, base_url=table.base_url.rstrip("/"), own=True, address=None, key=None)
    if table.base_url is not None and not table.base_url.startswith(("http://", "https://")):
        raise ConfigurationError(f"a base_url looks like https://host/v1, not {table.base_url!r}")
    dialects = tuple(table.dialects or known.dialects)
    return replace(
        known, name=name, key=table.key_env or known.key, dialects=dialects, tokens=table.tokens or known.tokens,
        timeout=table.timeout, litellm=known.litellm if known.name != "custom" else _spoken(dialects),
    )  # fmt: skip


def _spoken(dialects: tuple[str, ...]) -> str:
    """What litellm calls an API of one's own."""
    return next((said for name, said in LITELLM_NAMES.items() if name in dialects), "custom_openai/")


def _route(name: str, table: ModelTable, given: Configuration) -> ModelRoute:
    to: Mapping[str, float] = {table.to: 1.0} if isinstance(table.to, str) else table.to
    for model in (*to, *(table.fallbacks or ())):
        if model in given.models:
            raise ConfigurationError(f"it leads to {model!r}, which is such a name itself; name where that leads")
    return ModelRoute(dict(to), table.fallbacks)


def _server(table: ServerTable, effective: Effective) -> ToolServer:
    kinds = [name for name in ("command", "url", "python") if getattr(table, name) is not None]
    if len(kinds) != 1 and (kinds or table.cassette is None):
        raise ConfigurationError("a server has one of `command`, `url` and `python`, or a `cassette`")
    cassette = CassetteTable(path=table.cassette) if isinstance(table.cassette, str) else table.cassette
    common: dict[str, Any] = {
        "scope": table.scope, "timeout": table.timeout, "max_result_bytes": table.max_result_bytes,
        "cassette": cassette.cassette(effective.folder) if cassette is not None else None,
    }  # fmt: skip
    if not kinds:
        return CassetteServer(**common)
    if table.url is not None:
        return UrlServer(**common, url=table.url, headers=table.headers)
    if table.python is not None:
        return PythonServer(**common, server=import_beside(table.python, effective.folder))
    command = shlex.split(table.command) if isinstance(table.command, str) else table.command or []
    if not command:
        raise ConfigurationError("its command names no program")
    cwd = (effective.folder / table.cwd).resolve()
    return CommandServer(**common, command=command, env=table.env, pass_env=table.pass_env, cwd=cwd)
