"""Real MCP clients at a session's endpoint, over HTTP, and real servers behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import mcp
import pytest
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import TextContent

from drawbar.environment import Environment
from drawbar.server import UrlServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Desk, NodeTools, Plain, Serving


async def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


async def walk(ctx: Context[Any, Any], steps: int) -> str:
    """Reports progress."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps)
    return "there"


def words(result: Any) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


async def test_the_sdks_modern_client_lists_calls_and_sees_progress(desk: Desk, serving: Serving) -> None:
    session = await desk.session(Environment(name="sums", tools=[add, walk]))
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with serving(desk.app) as url, mcp.Client(f"{url}/{session.id}") as client:
        assert client.protocol_version == "2026-07-28"
        assert [tool.name for tool in (await client.list_tools()).tools] == ["add", "walk"]
        assert words(await client.call_tool("add", {"a": 2, "b": 3})) == "5"
        assert words(await client.call_tool("walk", {"steps": 3}, progress_callback=note)) == "there"
        assert (await client.list_prompts()).prompts == []
    assert seen == [1, 2, 3]
    assert [call.text for call in desk.recorded(session)] == ["5", "there"]


async def test_a_handshake_client_does_the_same(desk: Desk, serving: Serving) -> None:
    session = await desk.session(Environment(name="sums", tools=[add, walk]))
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with (
        serving(desk.app) as url,
        streamable_http_client(f"{url}/{session.id}") as (reading, writing),
        ClientSession(reading, writing) as client,
    ):
        hello = await client.initialize()
        assert hello.protocol_version == "2025-11-25"
        assert hello.server_info.name == "sums"
        assert [tool.name for tool in (await client.list_tools()).tools] == ["add", "walk"]
        assert words(await client.call_tool("walk", {"steps": 2}, progress_callback=note)) == "there"
        wrong = await client.call_tool("subtract", {})
        assert wrong.is_error
    assert seen == [1, 2]
    assert [call.status for call in desk.recorded(session)] == ["answered", "answered"]


async def test_a_modern_client_that_gives_up_stops_the_tool(desk: Desk, serving: Serving) -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    session = await desk.session(Environment(name="e", tools=[slow]))
    async with serving(desk.app) as url, mcp.Client(f"{url}/{session.id}") as client:
        calling = asyncio.create_task(client.call_tool("slow", {}))
        await began.wait()
        calling.cancel()
        async with asyncio.timeout(10):
            await stopped.wait()
        await desk.side.close(session)
    assert [call.status for call in desk.recorded(session)] == ["cancelled"]


async def test_one_sessions_lost_connection_is_nobody_elses(desk: Desk, serving: Serving) -> None:
    """A server over HTTP that drops one request in the middle answers all the others."""
    server: MCPServer[Any] = MCPServer("web", log_level="ERROR")
    server.add_tool(add, structured_output=False)
    app = server.streamable_http_app()

    async def dropping(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            message = await receive()
            if b'"a":13' in message["body"]:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})
                raise ConnectionError("dropped on purpose")

            async def replay() -> Any:
                nonlocal message
                given, message = message, None
                return given or await receive()

            await app(scope, replay, send)
        else:
            await app(scope, receive, send)

    async with serving(dropping) as url:
        environment = Environment(name="e", servers={"web": UrlServer(url=url + "/mcp")})
        sessions = [await desk.session(environment) for _ in range(20)]
        replies = await asyncio.gather(*(desk.call(s, "add", {"a": n, "b": 1}) for n, s in enumerate(sessions)))
        for number, reply in enumerate(replies):
            assert reply.result.get("isError", False) == (number == 13)
        assert "Tool server 'web'" in replies[13].text
        assert replies[14].text == "15"


async def test_a_server_that_forgot_its_session_is_greeted_again(desk: Desk, serving: Serving) -> None:
    """A handshake-era server that was restarted answers 404 to the session id of its former life."""

    def serve() -> Any:
        server: MCPServer[Any] = MCPServer("web", log_level="ERROR")
        server.add_tool(add, structured_output=False)
        return server.streamable_http_app()

    lives = [serve(), serve()]
    now = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            async with lives[0].router.lifespan_context(lives[0]), lives[1].router.lifespan_context(lives[1]):
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif (b"mcp-protocol-version", b"2026-07-28") in scope["headers"]:
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b"unsupported"})
        else:
            await lives[now](scope, receive, send)

    async with serving(app) as url:
        session = await desk.session(Environment(name="e", servers={"web": UrlServer(url=url + "/mcp")}))
        assert (await desk.call(session, "add", {"a": 1, "b": 1})).text == "2"
        now = 1
        assert (await desk.call(session, "add", {"a": 2, "b": 2})).text == "4"


@pytest.mark.slow
async def test_a_hundred_clients_at_once(desk: Desk, serving: Serving, plain: Plain) -> None:
    environment = Environment(name="sums", tools=[add], servers={"tide": plain()})
    sessions = [await desk.session(environment) for _ in range(100)]

    async def work(url: str, number: int) -> tuple[str, str]:
        async with mcp.Client(f"{url}/{sessions[number].id}") as client:
            total = await client.call_tool("add", {"a": number, "b": 1})
            return words(total), words(await client.call_tool("whoami", {}))

    async with serving(desk.app) as url:
        said = await asyncio.gather(*(work(url, number) for number in range(100)))
    assert said == [(str(number + 1), sessions[number].id) for number in range(100)]


@pytest.mark.slow
async def test_the_npm_reference_servers_together(desk: Desk, node_tools: NodeTools, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "tides.txt").write_text("The Moon makes the tides.")
    servers = {
        "everything": node_tools.server("everything"),
        "files": node_tools.server("filesystem", str(folder), scope="session"),
        "memory": node_tools.server("memory", env={"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")}),
    }
    session = await desk.session(Environment(name="e", servers=servers))
    names = {tool["name"] for tool in await desk.side.tools(session)}
    assert {"echo", "read_text_file", "create_entities"} <= names
    assert "tides" in (await desk.call(session, "echo", {"message": "tides"})).text
    assert (await desk.call(session, "read_text_file", {"path": str(folder / "tides.txt")})).text.startswith("The Moon")
    outside = await desk.call(session, "read_text_file", {"path": "/etc/passwd"})
    assert outside.result["isError"]
    entity = {"name": "Moon", "entityType": "body", "observations": ["makes tides"]}
    await desk.call(session, "create_entities", {"entities": [entity]})
    assert "makes tides" in (await desk.call(session, "search_nodes", {"query": "Moon"})).text
    wrong = await desk.call(session, "echo", {})
    assert wrong.result["isError"]
    assert "message" in wrong.text
