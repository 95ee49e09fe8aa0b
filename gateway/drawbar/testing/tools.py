"""An MCP server in memory, from plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.server import MCPServer


def tool_server(*functions: Callable[..., Any], name: str = "tools") -> MCPServer[Any]:
    """An in-process MCP server whose tools are these functions, as `Environment(tools=...)` makes one.

    Give it to `PythonServer(server=...)`, or talk to it with `mcp.Client(server)`.
    """
    from mcp.server import MCPServer

    server: MCPServer[Any] = MCPServer(name, subscriptions=False, log_level="WARNING")
    for function in functions:
        server.add_tool(function, structured_output=False)
    return server
