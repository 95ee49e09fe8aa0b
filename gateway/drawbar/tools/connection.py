"""The seam to a tool server, whichever way it is reached. Implementations: `in_process`, `stdio` and `streamable_http`,
and those of `cassettes`, which write calls down or answer out of what was written.

They give and take JSON values as they are on the wire, so that fields which nobody here knows survive. What they know
is MCP as a client speaks it; sessions, names as the agent sees them, records and time-outs are none of their
business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from drawbar.errors import ToolServerError
from drawbar.tools.protocol import Json

OnProgress: TypeAlias = Callable[[Json], Awaitable[None]]
"""Takes the params of a `notifications/progress`, its token left out."""


class RefusedByServer(Exception):
    """The server answered with a JSON-RPC error: it is alive and did not do what it was asked."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__()
        self.code = code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        return self.message

    @classmethod
    def from_error(cls, error: object) -> RefusedByServer:
        """From the `error` member of a JSON-RPC response, however little of it is there."""
        if not isinstance(error, dict):
            return cls(-32603, f"an error that is no JSON-RPC error object: {error!r:.200}")
        code = error.get("code")
        return cls(code if isinstance(code, int) else -32603, str(error.get("message", "")), error.get("data"))


class ToolCallFailed(ToolServerError):
    """There is no answer, and why is known; `cause` is a name from `drawbar.causes`."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose call it is. Recordings are told apart by it; servers never see it."""

    session: str = ""
    task: str | None = None
    """The key of the session's task."""
    rollout: int = 0
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One call, as a server gets it."""

    tool: str
    """As the server names it."""
    arguments: Json
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Goes with the call as `_meta`; a progress token is added by the connection."""
    on_progress: OnProgress | None = None
    caller: Caller = Caller()


class Connection(Protocol):
    """One tool server.

    Cancelling `call` abandons it: the server is told, as far as its transport has words for that, and the connection
    stays usable for others.
    """

    instructions: str | None
    """What the server says about itself to a model; known once it is open."""

    async def open(self) -> None:
        """Start or reach the server and shake hands. Raises `ToolServerError`, after which nothing is left running."""

    async def tools(self) -> list[Json]:
        """Every tool's definition, in an order that stays the same. Raises `ToolServerError`, `RefusedByServer`."""

    async def call(self, request: ToolRequest) -> Json:
        """The result as the server gave it. A call is sent once at most.

        Raises:
            ToolServerError: the server could not be reached, or died before it answered.
            RefusedByServer: it answered with a JSON-RPC error.
        """

    async def close(self) -> None:
        """End the server if it is ours, and everything that this connection holds. Harmless when called again."""
