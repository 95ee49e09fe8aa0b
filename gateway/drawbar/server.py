"""Where an environment's tools come from: what a user writes to name an MCP server. `drawbar.tools` connects them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from drawbar.errors import ConfigurationError
from drawbar.tools.cassettes.settings import Cassette, as_cassette

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from mcp.server.lowlevel import Server

Scope: TypeAlias = Literal["shared", "session"]
"""One server for all sessions, or one for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    scope: Scope = "shared"
    timeout: float = 60.0
    """Seconds that one tool call may take."""
    max_result_bytes: int = 1_000_000
    """Larger results are cut, and the cut is marked, before the agent sees them; the record keeps that too."""
    cassette: Cassette | str | Path | None = None
    """Recorded calls that answer in its place. The server itself is not started, but for what falls through to it."""
    record: str | Path | None = None
    """A cassette that its calls are written into; servers of one environment may share it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "cassette", as_cassette(self.cassette))
        if self.scope not in ("shared", "session"):
            raise ConfigurationError(f"A server's scope is 'shared' or 'session', not {self.scope!r}.")
        if self.timeout <= 0:
            raise ConfigurationError(f"A server's timeout is a number of seconds above 0, not {self.timeout!r}.")
        if self.max_result_bytes <= 0:
            raise ConfigurationError(f"A server's max_result_bytes is a number above 0, not {self.max_result_bytes!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonServer(_Server):
    """An MCP server object in this process: no process, no socket."""

    server: MCPServer[Any] | Server[Any] | Callable[[], MCPServer[Any] | Server[Any]]
    """The server, or a factory of one (called once, or for each session with `scope="session"`)."""

    def __post_init__(self) -> None:
        _Server.__post_init__(self)
        if self.scope == "session" and not callable(self.server):
            raise ConfigurationError(
                "A PythonServer with scope='session' takes a function that makes a server: one object cannot be many."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandServer(_Server):
    """A child process that speaks MCP over its standard input and output."""

    command: Sequence[str]
    """The program and its arguments; no shell is involved."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Set for the child. It inherits no more of ours than PATH, HOME, LANG and the like; `pass_env` names what else."""
    pass_env: Sequence[str] = ()
    cwd: str | Path | None = None

    def __post_init__(self) -> None:
        _Server.__post_init__(self)
        if isinstance(self.command, str) or not self.command:
            raise ConfigurationError(
                f"A CommandServer's command is a list, the program first and then its arguments: not {self.command!r}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlServer(_Server):
    """An MCP server at a URL (streamable HTTP)."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May hold secrets: never printed."""

    def __post_init__(self) -> None:
        _Server.__post_init__(self)
        if not self.url.startswith(("http://", "https://")):
            raise ConfigurationError(f"A UrlServer's url begins with http:// or https://: not {self.url!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CassetteServer(_Server):
    """No server at all: recorded calls, and what a server was that listed its tools then."""

    def __post_init__(self) -> None:
        _Server.__post_init__(self)
        if self.cassette is None:
            raise ConfigurationError("A CassetteServer takes a `cassette`.")
        assert isinstance(self.cassette, Cassette)
        if self.cassette.mode == "fall-through":
            raise ConfigurationError("A CassetteServer has no live server that its cassette could fall through to.")


ToolServer: TypeAlias = PythonServer | CommandServer | UrlServer | CassetteServer
