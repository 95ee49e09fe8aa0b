"""An environment whose tools answer out of a cassette, or are written into one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from drawbar.errors import ConfigurationError
from drawbar.server import CassetteServer, ToolServer
from drawbar.tools.cassettes.deck import names_in
from drawbar.tools.cassettes.format import read_header
from drawbar.tools.cassettes.settings import Cassette, Mode

if TYPE_CHECKING:
    from drawbar.environment import Environment


def replayed_from(environment: Environment, path: Path | None, mode: Mode | None = None) -> Environment:
    """The environment with a cassette in place of every server; with `mode` alone, in that mode.

    What a server's own cassette says of arguments and read-only tools holds on.

    Raises:
        ConfigurationError: the file is none, or lacks a server; or no server has a cassette that `mode` could be of.
    """
    if path is None:
        return _in_mode(environment, mode or "by-arguments")
    names = _names(environment)
    cassette = Cassette(path, mode=mode or "by-arguments")
    names_in(cassette, read_header(path), names)
    falls = cassette.mode == "fall-through"
    servers: dict[str, ToolServer] = environment.all_servers() if falls else dict(environment.servers)
    if environment.tools and not falls:
        servers = {environment.name: CassetteServer(cassette=cassette), **servers}
    found = {name: _with(server, path, mode) for name, server in servers.items()}
    return replace(environment, tools=(), servers=found)


def recorded_to(environment: Environment, path: Path) -> Environment:
    """The environment with the calls of every server written down. Raises `ConfigurationError`: it has no tools."""
    _names(environment)
    found = {name: replace(server, record=path) for name, server in environment.all_servers().items()}
    return replace(environment, tools=(), servers=found)


def cassettes_of(environment: Environment) -> dict[str, Cassette]:
    """The cassettes that stand in for servers, by the servers' names."""
    return {name: s.cassette for name, s in environment.servers.items() if isinstance(s.cassette, Cassette)}


def _in_mode(environment: Environment, mode: Mode) -> Environment:
    cassettes = cassettes_of(environment)
    if not cassettes:
        raise ConfigurationError(
            f"No server of environment {environment.name} has a cassette. Name one: --cassette PATH"
        )
    changed = {n: replace(environment.servers[n], cassette=replace(c, mode=mode)) for n, c in cassettes.items()}
    return replace(environment, servers={**environment.servers, **changed})


def _with(server: ToolServer, path: Path, mode: Mode | None) -> ToolServer:
    own = server.cassette if isinstance(server.cassette, Cassette) else Cassette(path)
    return replace(server, cassette=replace(own, path=path, mode=mode or own.mode))


def _names(environment: Environment) -> list[str]:
    names = [environment.name] if environment.tools else []
    names += environment.servers
    if not names:
        raise ConfigurationError(f"Environment {environment.name} has no tools, so there is nothing for a cassette.")
    return names
