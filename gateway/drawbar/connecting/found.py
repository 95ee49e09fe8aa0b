"""The descriptions of agents that are installed, by entry point. The core knows none by itself."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

from drawbar.connection import Connection
from drawbar.errors import ConfigurationError, UnknownName

GROUP: Final = "drawbar.connections"
"""The entry points of descriptions: each names a `Connection`."""


def known_connections() -> dict[str, EntryPoint]:
    """What can be connected, by name. Nothing is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def connection(name: str) -> Connection:
    """The description of that name; `-` and `_` are the same.

    Raises:
        UnknownName: there is none (the message names the nearest).
        ConfigurationError: it is there and cannot be loaded.
    """
    known = known_connections()
    wanted = name.strip().lower().replace("-", "_")
    if wanted not in known:
        raise UnknownName("agent", name, known, "`drawbar connect` lists them.")
    try:
        found = known[wanted].load()
    except Exception as error:
        raise ConfigurationError(f"Agent {wanted} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(found, Connection):
        raise ConfigurationError(f"{known[wanted].value} is a {type(found).__name__}, which describes no connection.")
    return found
