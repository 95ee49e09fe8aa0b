"""What every way to reach a tool server owes, the same tests for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession
from mcp.server import MCPServer
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool

from drawbar.errors import ToolServerError
from drawbar.server import CommandServer, UrlServer
from drawbar.tools.connection import Connection, RefusedByServer, ToolRequest
from drawbar.tools.in_process import InProcess
from drawbar.tools.stdio import Stdio
from drawbar.tools.streamable_http import StreamableHttp
from drawbar.tools.warden import Warden

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send
    from tests.tools.conftest import Plain, Serving

KINDS = ["object", "object-with-middleware", "lowlevel", "stdio", "stdio-modern", "http", "http-handshake"]


def make_server(**settings: Any) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer(
        "contract", instructions="Plain and simple.", subscriptions=False, log_level="ERROR", **settings
    )

    async def echo(text: str) -> str:
        return text

    async def fail() -> str:
        raise ToolError("It went wrong.")

    async def steps(ctx: Context[Any, Any]) -> str:
        await ctx.report_progress(1)
        await ctx.report_progress(2)
        return "done"

    async def sleep() -> None:
        await asyncio.Event().wait()

    async def whoami(ctx: Context[Any, Any]) -> str:
        meta: Any = ctx.request_context.meta
        return str(meta.get("dev.drawbar/session"))

    for tool in (whoami, echo, fail, steps, sleep):
        server.add_tool(tool, structured_output=False)
    return server


def make_lowlevel() -> Server[Any]:
    whole = make_server()

    async def list_tools(ctx: Any, params: Any) -> ListToolsResult:
        tools = await whole.list_tools()
        start = 2 if params is not None and params.cursor else 0
        page: list[Tool] = tools[start : start + 2] if start == 0 else tools[start:]
        return ListToolsResult(tools=page, next_cursor="2" if start == 0 else None)

    async def call_tool(ctx: Any, params: Any) -> CallToolResult:
        around = Context(request_context=ctx, mcp_server=whole)
        try:
            result = await whole.call_tool(params.name, params.arguments or {}, around)
        except ToolError as error:
            return CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)
        assert isinstance(result, CallToolResult)
        return result

    return Server("low", instructions="Plain and simple.", on_list_tools=list_tools, on_call_tool=call_tool)


def handshake_only(app: ASGIApp) -> ASGIApp:
    """The same server as it was before the revision without a handshake."""

    async def without(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (b"mcp-protocol-version", b"2026-07-28") in scope["headers"]:
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b"Bad Request: unsupported protocol version"})
        else:
            await app(scope, receive, send)

    return without


@pytest.fixture(params=KINDS)
async def connection(request: pytest.FixtureRequest, plain: Plain, serving: Serving) -> AsyncIterator[Connection]:
    async with _connected(request.param, plain, serving) as made:
        await made.open()
        try:
            yield made
        finally:
            await made.close()


@asynccontextmanager
async def _connected(kind: str, plain: Plain, serving: Serving) -> AsyncIterator[Connection]:
    async def passing(ctx: Any, call_next: Any) -> Any:
        return await call_next(ctx)

    if kind == "object":
        yield InProcess("s", make_server)
    elif kind == "object-with-middleware":
        yield InProcess("s", make_server(middleware=[passing]))
    elif kind == "lowlevel":
        yield InProcess("s", make_lowlevel())
    elif kind.startswith("stdio"):
        warden = Warden()
        yield Stdio("s", plain("--modern") if kind == "stdio-modern" else plain(), warden)
        await warden.close()
    else:
        server = make_server()
        app: ASGIApp = server.streamable_http_app()
        async with serving(handshake_only(app) if kind == "http-handshake" else app) as url, ClientSession() as http:
            yield StreamableHttp("s", UrlServer(url=url + "/mcp"), http)


def words(result: dict[str, Any]) -> str:
    return "".join(block["text"] for block in result["content"])


async def test_it_lists_every_tool_with_its_schema(connection: Connection) -> None:
    tools = {tool["name"]: tool for tool in await connection.tools()}
    assert {"whoami", "echo", "fail", "steps", "sleep"} <= set(tools)
    assert tools["echo"]["inputSchema"]["required"] == ["text"]
    assert await connection.tools() == list(tools.values())


async def test_it_passes_on_what_the_server_says_of_itself(connection: Connection) -> None:
    assert connection.instructions == "Plain and simple."


async def test_a_call_gives_the_servers_result(connection: Connection) -> None:
    result = await connection.call(ToolRequest("echo", {"text": "grüße\n\U0001f600"}))
    assert words(result) == "grüße\n\U0001f600"
    assert not result.get("isError")


async def test_a_tool_that_fails_gives_an_error_result(connection: Connection) -> None:
    result = await connection.call(ToolRequest("fail", {}))
    assert result["isError"]
    assert "It went wrong." in words(result)


async def test_the_meta_of_a_call_reaches_the_tool(connection: Connection) -> None:
    result = await connection.call(ToolRequest("whoami", {}, {"dev.drawbar/session": "ses_1"}))
    assert words(result) == "ses_1"


async def test_progress_comes_in_order_and_before_the_result(connection: Connection) -> None:
    seen: list[float] = []

    async def note(params: dict[str, Any]) -> None:
        assert "progressToken" not in params
        seen.append(params["progress"])

    assert words(await connection.call(ToolRequest("steps", {}, {}, note))) == "done"
    assert seen == [1, 2]


async def test_many_calls_at_once_each_get_their_own_answer(connection: Connection) -> None:
    texts = [f"text {number}" for number in range(50)]
    results = await asyncio.gather(*(connection.call(ToolRequest("echo", {"text": text})) for text in texts))
    assert [words(result) for result in results] == texts


async def test_a_call_can_be_abandoned_and_others_go_on(connection: Connection) -> None:
    sleeping = asyncio.create_task(connection.call(ToolRequest("sleep", {})))
    assert words(await connection.call(ToolRequest("echo", {"text": "a"}))) == "a"
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    assert words(await connection.call(ToolRequest("echo", {"text": "b"}))) == "b"


async def test_an_unknown_tool_is_refused_or_an_error_result(connection: Connection) -> None:
    try:
        result = await connection.call(ToolRequest("no_such_tool", {}))
    except RefusedByServer as refused:
        result = {"isError": True, "content": [{"text": refused.message}]}
    assert result["isError"]
    assert "no_such_tool" in words(result)


async def test_closing_twice_is_harmless_and_ends_it(connection: Connection) -> None:
    await connection.close()
    await connection.close()
    if isinstance(connection, InProcess | Stdio):
        with pytest.raises(ToolServerError, match="closed"):
            await connection.call(ToolRequest("echo", {"text": "a"}))


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (CommandServer(command=["no-such-program-anywhere"]), "there is no program 'no-such-program-anywhere'"),
        (CommandServer(command=["python3"], cwd="/no/such/folder"), "'/no/such/folder' does not exist"),
        (CommandServer(command=["python3"], pass_env=["NO_SUCH_VARIABLE"]), "NO_SUCH_VARIABLE"),
        (CommandServer(command=["/bin/false"]), "exited with code 1"),
        (
            UrlServer(url="http://127.0.0.1:9/mcp?key=secret"),
            "http://127.0.0.1:9/mcp could not be reached: nothing listens there",
        ),
    ],
)
async def test_a_server_that_cannot_be_had_says_which_and_why(server: CommandServer | UrlServer, says: str) -> None:
    warden = Warden()
    async with ClientSession() as http:
        made: Connection
        if isinstance(server, CommandServer):
            made = Stdio("tide", server, warden)
        else:
            made = StreamableHttp("tide", server, http)
        with pytest.raises(ToolServerError) as raised:
            await made.open()
    await warden.close()
    assert "Tool server 'tide'" in str(raised.value)
    assert says in str(raised.value)
    assert "secret" not in str(raised.value)


async def test_a_factory_or_lifespan_that_raises_says_which_and_why() -> None:
    def factory() -> MCPServer[Any]:
        raise RuntimeError("no data here")

    @asynccontextmanager
    async def lifespan(_: MCPServer[Any]) -> AsyncIterator[str]:
        yield str(int("no database"))

    for server, says in ((factory, "no data here"), (MCPServer("x", lifespan=lifespan), "no database")):
        with pytest.raises(ToolServerError, match=says):
            await InProcess("tide", server).open()


async def test_tools_see_what_the_lifespan_made_and_it_ends_with_the_connection() -> None:
    left = False

    @asynccontextmanager
    async def lifespan(_: MCPServer[Any]) -> AsyncIterator[dict[str, str]]:
        nonlocal left
        yield {"table": "tides"}
        left = True

    async def table(ctx: Context[Any, Any]) -> str:
        return str(ctx.request_context.lifespan_context["table"])

    server: MCPServer[Any] = MCPServer("x", lifespan=lifespan, log_level="ERROR")
    server.add_tool(table, structured_output=False)
    made = InProcess("tide", server)
    await made.open()
    assert words(await made.call(ToolRequest("table", {}))) == "tides"
    await made.close()
    assert left
