"""A tool side with a real recorder behind it, spoken to without a socket, and over one where a client needs that."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from drawbar.environment import Environment
from drawbar.ids import new_id
from drawbar.record.graph import SessionGraph
from drawbar.record.recorder import Recorder
from drawbar.record.rows import SessionRow
from drawbar.record.store import Store
from drawbar.server import CommandServer
from drawbar.sessions import Session
from drawbar.task import Limits
from drawbar.tools.endpoint import ToolSide
from drawbar.trajectory import ToolCall, Trajectory

MODERN = "2026-07-28"
PLAIN = Path(__file__).parent / "programs" / "plain_server.py"

Json = dict[str, Any]


@dataclass
class Reply:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        value: Json = orjson.loads(self.body)
        return value

    @property
    def events(self) -> list[Json]:
        return [orjson.loads(line[6:]) for line in self.body.splitlines() if line.startswith(b"data: ")]

    @property
    def result(self) -> Json:
        message = self.events[-1] if self.headers["content-type"] == "text/event-stream" else self.json
        assert "result" in message, message
        value: Json = message["result"]
        return value

    @property
    def text(self) -> str:
        return "".join(block.get("text", "") for block in self.result["content"])


@dataclass
class Desk:
    """A tool side, its store, and a client that needs no socket."""

    side: ToolSide
    store: Store
    recorder: Recorder
    sessions: dict[str, Session] = field(default_factory=dict)

    async def session(self, environment: Environment | None) -> Session:
        row = SessionRow(id=new_id("ses"), started=time.time())
        session = Session(
            row=row, key="", environment=environment, task=None, limits=Limits(), sampling={}, graph=SessionGraph()
        )
        await self.recorder.commit(row)
        self.sessions[session.id] = session
        return session

    async def post(
        self,
        session: Session,
        body: object,
        *,
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
        leave: asyncio.Event | None = None,
        began: asyncio.Event | None = None,
    ) -> Reply:
        """One HTTP request. The client leaves when `leave` is set; `began` is set when the answer's head is sent."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        given = {
            "host": "127.0.0.1:1",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            **(headers or {}),
        }
        scope = {
            "type": "http",
            "method": method,
            "path": "/mcp",
            "server": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        waiting = [{"type": "http.request", "body": raw, "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            if waiting:
                return waiting.pop()
            await (leave or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if began is not None:
                began.set()

        await self.side.handle(session, scope, receive, send)
        if not sent:
            return Reply(0, {}, b"")
        head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Reply(sent[0]["status"], head, b"".join(part["body"] for part in sent[1:]))

    async def ask(self, session: Session, method: str, params: Json | None = None, **more: Any) -> Reply:
        """A request of the handshake era."""
        return await self.post(session, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}, **more)

    async def call(self, session: Session, tool: str, arguments: object = None, **more: Any) -> Reply:
        """A `tools/call` of the handshake era."""
        return await self.ask(session, "tools/call", {"name": tool, "arguments": arguments or {}}, **more)

    async def modern(self, session: Session, method: str, params: Json | None = None, **more: Any) -> Reply:
        """A request of the modern era, envelope and headers and all."""
        params = dict(params or {})
        keys = "io.modelcontextprotocol/"
        envelope = {keys + "protocolVersion": MODERN, keys + "clientCapabilities": {}}
        params["_meta"] = {**params.get("_meta", {}), **envelope}
        headers = {"mcp-protocol-version": MODERN, "mcp-method": method, **more.pop("headers", {})}
        if "name" in params:
            headers.setdefault("mcp-name", params["name"])
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return await self.post(session, body, headers=headers, **more)

    def trajectory(self, session: Session) -> Trajectory:
        return self.store.trajectory(session.id)

    def recorded(self, session: Session) -> list[ToolCall]:
        return list(self.trajectory(session).tool_calls)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: `/{session id}` is that session's endpoint."""
        if scope["type"] == "http":
            await self.side.handle(self.sessions[scope["path"].strip("/")], scope, receive, send)


DeskMaker = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def desks(tmp_path: Path) -> DeskMaker:
    """Makes desks with settings of their own."""

    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[Desk]:
        store = Store.open(tmp_path / "drawbar.db")
        try:
            async with Recorder(store) as recorder, ToolSide(recorder, **settings) as side:
                yield Desk(side, store, recorder)
        finally:
            store.close()

    return make


@pytest.fixture
async def desk(desks: DeskMaker) -> AsyncIterator[Desk]:
    async with desks() as made:
        yield made


Serving = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


@pytest.fixture
def serving() -> Serving:
    """Serves an ASGI application on a free port of this machine; gives its URL."""

    @asynccontextmanager
    async def serve(app: ASGIApp) -> AsyncIterator[str]:
        config = uvicorn.Config(
            app, interface="asgi3", port=0, log_level="error", ws="none", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 -- uvicorn has no event for it
            await asyncio.sleep(0)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await task

    return serve


Plain = Callable[..., CommandServer]


@pytest.fixture
def plain() -> Plain:
    """The tests' own child server; positional arguments are its flags, others those of `CommandServer`."""

    def make(*flags: str, **settings: Any) -> CommandServer:
        return CommandServer(command=[sys.executable, "-S", str(PLAIN), *flags], **settings)

    return make


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Waits until something is so, and fails when it takes longer than ten seconds."""

    async def wait(holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 -- what it waits for is another process
                await asyncio.sleep(0.005)

    return wait


@dataclass(frozen=True)
class NodeTools:
    """Node and the npm packages that `.ci/install-node-tools` puts beside it."""

    folder: Path

    @property
    def node(self) -> str:
        return str(self.folder / "node" / "bin" / "node")

    def package(self, name: str) -> Path:
        found = self.folder / name
        if not found.is_dir():
            pytest.skip(f"the npm package {name} is not in {self.folder}: run .ci/install-node-tools")
        return found

    def server(self, name: str, *arguments: str, **settings: Any) -> CommandServer:
        """One of the npm reference servers."""
        program = self.package(f"@modelcontextprotocol/server-{name}") / "dist" / "index.js"
        return CommandServer(command=[self.node, str(program), *arguments], **settings)


@pytest.fixture
def node_tools() -> NodeTools:
    default = Path(__file__).parents[2] / ".ci" / "node"
    tools = NodeTools(Path(os.environ.get("DRAWBAR_NODE_TOOLS", default)) / "node_modules")
    if not Path(tools.node).is_file():
        pytest.skip(f"Node 22 is not in {tools.folder}: run .ci/install-node-tools")
    return tools
