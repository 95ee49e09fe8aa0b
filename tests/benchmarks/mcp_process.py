"""The same tool behind the MCP SDK's own stateless HTTP server, recording nothing, as a process of its own."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import uvloop
from mcp.server import MCPServer

from drawbar.serving import serving
from workload import search


async def serve() -> None:
    """Until the process is ended."""
    server: MCPServer[Any] = MCPServer("benchmark", subscriptions=False, log_level="ERROR")
    server.add_tool(search, structured_output=False)
    application = server.streamable_http_app(stateless_http=True, json_response=True)
    async with application.router.lifespan_context(application), serving(application) as url:
        print(json.dumps({"url": url}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
