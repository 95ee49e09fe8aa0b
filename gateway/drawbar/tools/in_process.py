"""A tool server that is an object in this process: no process, no socket, no client.

An ordinary `MCPServer` is called directly, which costs a sixth of the way through the SDK's request handling. One
that has middleware or extensions, and every lowlevel `Server`, is served request by request by the SDK, so that
nothing of theirs is passed over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from drawbar.errors import ConfigurationError, ToolServerError
from drawbar.tools import protocol
from drawbar.tools.connection import RefusedByServer, ToolRequest
from drawbar.tools.owner import Owned
from drawbar.tools.protocol import Json

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from mcp.server.lowlevel import Server

    ServerOrFactory: TypeAlias = MCPServer[Any] | Server[Any] | Callable[[], MCPServer[Any] | Server[Any]]

logger = logging.getLogger(__name__)

_BUILT_IN_MIDDLEWARE = 2
"""What the SDK itself puts into every `MCPServer`: tracing, and the sealing of request state."""


class InProcess:
    """A connection to a server object, or to what a factory makes when the connection is opened."""

    def __init__(self, name: str, server: ServerOrFactory) -> None:
        self._name = name
        self._source = server
        self._served: _Direct | _ThroughSdk | None = None
        self._lifespan: Owned[Any] | None = None
        self._running: set[asyncio.Task[Json]] = set()
        self.instructions: str | None = None

    async def open(self) -> None:
        """Make the server and enter its lifespan."""
        from mcp.server import MCPServer
        from mcp.server.lowlevel import Server

        server: object = self._source
        if not isinstance(server, MCPServer | Server) and callable(server):
            try:
                server = server()
            except Exception as error:
                raise ToolServerError(f"Tool server {self._name!r}: its factory raised {error!r}.") from error
        if not isinstance(server, MCPServer | Server):
            raise ConfigurationError(
                f"Tool server {self._name!r} is a {type(server).__name__}. "
                "PythonServer takes an MCPServer, or a function that returns one."
            )
        self.instructions = server.instructions
        lowlevel = server._lowlevel_server if isinstance(server, MCPServer) else server
        self._lifespan = Owned(lambda: _lifespan_of(lowlevel))
        try:
            state = await self._lifespan.start()
        except Exception as error:
            raise ToolServerError(f"Tool server {self._name!r}: its lifespan raised {error!r}.") from error
        if isinstance(server, MCPServer) and _is_plain(server):
            self._served = _Direct(server, state)
        else:
            self._served = _ThroughSdk(lowlevel, state)

    async def tools(self) -> list[Json]:
        """The tools in the order in which they were added."""
        return await self._open().tools()

    async def call(self, request: ToolRequest) -> Json:
        """Run the tool in a task of its own: one that does not heed its cancellation (a thread, say) is left behind."""
        task = asyncio.create_task(self._open().call(request))
        self._running.add(task)
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            us = asyncio.current_task()
            if not task.cancelled() or (us is not None and us.cancelling()):
                task.cancel()
                raise
            raise ToolServerError(f"Tool server {self._name!r} was closed during the call.") from None

    async def close(self) -> None:
        """Cancel what runs and leave the lifespan."""
        for task in self._running:
            task.cancel()
        if self._lifespan is not None:
            await self._lifespan.stop()
        self._served = None

    def _open(self) -> _Direct | _ThroughSdk:
        if self._served is None:
            raise ToolServerError(f"Tool server {self._name!r} is closed.")
        return self._served

    def _ended(self, task: asyncio.Task[Json]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # one that nobody waits for any more is no news


class _Direct:
    """Calls the server's own `list_tools` and `call_tool`."""

    def __init__(self, server: MCPServer[Any], state: Any) -> None:
        from mcp.server.connection import Connection
        from mcp.server.context import ServerRequestContext
        from mcp.server.mcpserver import Context
        from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
        from mcp.server.session import ServerSession
        from mcp.shared.exceptions import MCPError

        self._server = server
        self._session = partial(ServerSession, connection=Connection.from_envelope(protocol.MODERN, None, {}))
        self._request_context = partial(
            ServerRequestContext,
            lifespan_context=state,
            protocol_version=protocol.MODERN,
            method="tools/call",
        )
        self._context = partial(Context, mcp_server=server, subscriptions=server._subscriptions)
        self._tool_error, self._unexpected, self._protocol_error = ToolError, UnexpectedToolError, MCPError

    async def tools(self) -> list[Json]:
        return [
            tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in await self._server.list_tools()
        ]

    async def call(self, request: ToolRequest) -> Json:
        meta: Any = dict(request.meta)
        around = self._request_context(
            session=self._session(_exchange(request)),
            params={"name": request.tool, "arguments": request.arguments, "_meta": meta},
            request_id=0,
            meta=meta,
        )
        try:
            said = await self._server.call_tool(request.tool, request.arguments, self._context(request_context=around))
        except self._protocol_error as error:
            raise RefusedByServer(error.code, error.error.message, error.error.data) from error
        except self._unexpected as error:
            # The SDK hides what an ordinary exception says. This tool is the environment's own: the agent may know.
            logger.info("tool %r raised", request.tool, exc_info=error)
            return protocol.error_result(f"{error}: {_spoken(error.__cause__)}")
        except self._tool_error as error:
            return protocol.error_result(str(error))
        return said.model_dump(mode="json", by_alias=True, exclude_none=True)


class _ThroughSdk:
    """Serves each request through the SDK's handling of the modern revision."""

    def __init__(self, server: Server[Any], state: Any) -> None:
        self._server = server
        self._state = state

    async def tools(self) -> list[Json]:
        found: list[Json] = []
        params: Json = {}
        for _ in range(100):
            page = await self._serve("tools/list", params, ToolRequest("", {}))
            found += page.get("tools", ())
            if not page.get("nextCursor"):
                break
            params = {"cursor": page["nextCursor"]}
        return found

    async def call(self, request: ToolRequest) -> Json:
        return await self._serve("tools/call", {"name": request.tool, "arguments": request.arguments}, request)

    async def _serve(self, method: str, params: Json, request: ToolRequest) -> Json:
        from mcp.server.connection import Connection
        from mcp.server.runner import modern_error_data, serve_one

        params["_meta"] = {**request.meta, protocol.VERSION_KEY: protocol.MODERN, protocol.CAPABILITIES_KEY: {}}
        try:
            return await serve_one(
                self._server,
                _exchange(request),
                method,
                params,
                connection=Connection.from_envelope(protocol.MODERN, None, {}),
                lifespan_state=self._state,
            )
        except Exception as error:
            said = modern_error_data(error)
            raise RefusedByServer(said.code, said.message, said.data) from error


def _exchange(request: ToolRequest) -> Any:
    """The SDK's context of one request, with no way back to the client but progress."""
    from drawbar.tools.exchange import Exchange

    return Exchange(request.on_progress)


def _lifespan_of(server: Server[Any]) -> AbstractAsyncContextManager[Any]:
    return server.lifespan(server)


def _is_plain(server: MCPServer[Any]) -> bool:
    return len(server.middleware) <= _BUILT_IN_MIDDLEWARE and not server._extensions


def _spoken(error: BaseException | None) -> str:
    """An exception's type and words, as a traceback ends with them."""
    return f"{type(error).__name__}: {error}" if error is not None and str(error) else type(error).__name__
