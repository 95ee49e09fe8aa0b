"""Servers over HTTP that do what the protocol allows and the SDK's own server does not, and some that break it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from drawbar.errors import ToolServerError
from drawbar.server import UrlServer
from drawbar.tools.connection import RefusedByServer, ToolRequest
from drawbar.tools.sse import EventReader
from drawbar.tools.streamable_http import StreamableHttp

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send
    from tests.tools.conftest import Serving

Answer = Callable[["Web", dict[str, Any], dict[str, str]], Awaitable[tuple[int, dict[str, str], bytes]]]


@dataclass
class Web:
    """A server of one tool; `answer` says how it answers a call. Everything that it was sent is in `seen`."""

    answer: Answer
    modern: bool = False
    seen: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        raw = (await receive()).get("body", b"")
        message = json.loads(raw) if raw else {}
        self.seen.append((scope["method"], message, headers))
        status, more, body = await self._reply(message, headers)
        lines = [(name.encode(), value.encode()) for name, value in more.items()]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, message: dict[str, Any], headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        method = message.get("method")
        if method == ("server/discover" if self.modern else "initialize"):
            hello = {"supportedVersions": ["2026-07-28"]} if self.modern else {"protocolVersion": "2025-06-18"}
            return said(message, hello, {"mcp-session-id": "s1"})
        if method == "tools/list":
            schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
            return said(message, {"tools": [{"name": "ask", "inputSchema": schema}, {"bad": "no name"}]})
        if method == "tools/call" or not message:
            return await self.answer(self, message, headers)
        return (202, {}, b"") if "id" not in message else (400, {}, b"")

    def methods(self) -> list[str]:
        return [message.get("method", method) for method, message, _ in self.seen]


def said(
    message: dict[str, Any], result: dict[str, Any], headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
    return 200, {"content-type": "application/json", **(headers or {})}, body


def text(words: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}]}


@asynccontextmanager
async def connected(web: Any, serving: Serving, **settings: Any) -> AsyncIterator[StreamableHttp]:
    async with serving(web) as url, ClientSession() as http:
        made = StreamableHttp("tide", UrlServer(url=url + "/mcp", **settings), http)
        await made.open()
        try:
            yield made
        finally:
            await made.close()


async def test_a_handshake_server_is_greeted_in_its_revision_and_told_goodbye(serving: Serving) -> None:
    async def answer(web: Web, message: dict[str, Any], headers: dict[str, str]) -> Any:
        return said(message, text("hi")) if message else (405, {}, b"")

    web = Web(answer)
    async with connected(web, serving, headers={"authorization": "Bearer secret"}) as made:
        assert await made.call(ToolRequest("ask", {})) == text("hi")
    assert web.methods() == ["server/discover", "initialize", "notifications/initialized", "tools/call", "DELETE"]
    for _, _, headers in web.seen[2:]:
        assert headers["mcp-protocol-version"] == "2025-06-18"
        assert headers["mcp-session-id"] == "s1"
        assert headers["authorization"] == "Bearer secret"


async def test_a_modern_server_gets_the_envelope_and_the_headers_that_it_wants(serving: Serving) -> None:
    async def answer(web: Web, message: dict[str, Any], headers: dict[str, str]) -> Any:
        return said(message, {**text("hi"), "resultType": "complete"})

    web = Web(answer, modern=True)
    async with connected(web, serving) as made:
        assert [tool["name"] for tool in await made.tools()] == ["ask"]
        await made.call(ToolRequest("ask", {"region": "Nord-Ø"}))
    _, message, headers = web.seen[-1]
    assert message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert (headers["mcp-method"], headers["mcp-name"]) == ("tools/call", "ask")
    assert headers["mcp-param-region"].startswith("=?base64?")
    assert web.methods() == ["server/discover", "tools/list", "tools/call"]


async def test_a_stream_that_the_server_closes_early_is_taken_up_where_it_broke(serving: Serving) -> None:
    async def answer(web: Web, message: dict[str, Any], headers: dict[str, str]) -> Any:
        events = {"content-type": "text/event-stream"}
        if message:
            return 200, events, b"id: e7\nretry: 1\ndata:\n\n"
        assert headers["last-event-id"] == "e7"
        call = next(sent for _, sent, _ in web.seen if sent.get("method") == "tools/call")
        _, _, body = said(call, text("at last"))
        return 200, events, b"id: e8\ndata: " + body + b"\n\n"

    async with connected(Web(answer), serving) as made:
        assert await made.call(ToolRequest("ask", {})) == text("at last")


@pytest.mark.parametrize(
    ("status", "headers", "body", "says"),
    [
        (503, {}, b"try later", "answered HTTP 503 try later"),
        (200, {"content-type": "application/json"}, b"<html>", "is not JSON"),
        (200, {"content-type": "application/json"}, b"[]", "is no JSON-RPC message"),
        (200, {"content-type": "text/event-stream"}, b"data: {}\n\n", "ended its answer before there was one"),
        (307, {"location": "http://elsewhere.example/mcp"}, b"", "redirects to another origin"),
        (307, {"location": "/mcp"}, b"", "redirects in circles"),
    ],
)
async def test_a_server_that_breaks_off_is_named_with_what_it_did(
    serving: Serving, status: int, headers: dict[str, str], body: bytes, says: str
) -> None:
    async def answer(web: Web, message: dict[str, Any], _: dict[str, str]) -> Any:
        return (status, headers, body) if message else (405, {}, b"")

    async with connected(Web(answer), serving) as made:
        with pytest.raises(ToolServerError, match=says) as raised:
            await made.call(ToolRequest("ask", {}))
    assert "Tool server 'tide' at http://127.0.0.1:" in str(raised.value)


async def test_a_refusal_in_json_keeps_its_code_and_words(serving: Serving) -> None:
    async def answer(web: Web, message: dict[str, Any], _: dict[str, str]) -> Any:
        if not message:
            return 405, {}, b""
        error: dict[str, Any] = {
            "jsonrpc": "2.0",
            "id": None,
            "error": {"code": -32602, "message": "no such tool", "data": [1]},
        }
        return 400, {"content-type": "application/json"}, json.dumps(error).encode()

    async with connected(Web(answer), serving) as made:
        with pytest.raises(RefusedByServer, match="no such tool") as raised:
            await made.call(ToolRequest("ask", {}))
    assert (raised.value.code, raised.value.data) == (-32602, [1])


@pytest.mark.parametrize("status", [401, 500])
async def test_a_server_that_quotes_our_key_is_not_repeated(serving: Serving, status: int) -> None:
    async def answer(web: Web, message: dict[str, Any], headers: dict[str, str]) -> Any:
        return status, {}, b"wrong: " + headers.get("authorization", "").encode() + b" (key-of-ours)"

    async with connected(Web(answer), serving, headers={"Authorization": "Bearer key-of-ours"}) as made:
        with pytest.raises((RefusedByServer, ToolServerError), match="wrong: ") as raised:
            await made.call(ToolRequest("ask", {}))
    assert "key-of-ours" not in str(raised.value)


async def test_half_an_emoji_in_an_answer_is_read(serving: Serving) -> None:
    async def answer(web: Web, message: dict[str, Any], headers: dict[str, str]) -> Any:
        return said(message, text("cut \ud83d")) if message else (405, {}, b"")

    async with connected(Web(answer), serving) as made:
        assert await made.call(ToolRequest("ask", {})) == text("cut \ufffd")


async def test_a_redirect_on_the_same_origin_is_followed(serving: Serving) -> None:
    async def answer(web: Web, message: dict[str, Any], _: dict[str, str]) -> Any:
        return said(message, text("hi")) if message else (405, {}, b"")

    web = Web(answer)

    async def moved(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/mcp":
            await send({"type": "http.response.start", "status": 307, "headers": [(b"location", b"/mcp/")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await web(scope, receive, send)

    async with connected(moved, serving) as made:
        assert await made.call(ToolRequest("ask", {})) == text("hi")


async def test_an_abandoned_call_is_cancelled_by_notification_in_the_handshake_era(serving: Serving) -> None:
    began = asyncio.Event()

    async def answer(web: Web, message: dict[str, Any], _: dict[str, str]) -> Any:
        began.set()
        if message:
            await asyncio.sleep(0.3)
        return 405, {}, b""

    web = Web(answer)
    async with connected(web, serving) as made:
        calling = asyncio.create_task(made.call(ToolRequest("ask", {})))
        await began.wait()
        calling.cancel()
        await asyncio.wait((calling,))
    cancelled = [message for _, message, _ in web.seen if message.get("method") == "notifications/cancelled"]
    call = next(message for _, message, _ in web.seen if message.get("method") == "tools/call")
    assert [message["params"]["requestId"] for message in cancelled] == [call["id"]]


async def test_a_server_that_asks_something_of_the_client_is_told_that_it_cannot(serving: Serving) -> None:
    async def answer(web: Web, message: dict[str, Any], _: dict[str, str]) -> Any:
        if not message:
            return 405, {}, b""
        asked = {"jsonrpc": "2.0", "id": "q", "method": "sampling/createMessage", "params": {}}
        body = said(message, text("hi"))[2]
        events = b"data: " + json.dumps(asked).encode() + b"\n\ndata: " + body + b"\n\n"
        return 200, {"content-type": "text/event-stream"}, events

    web = Web(answer)
    async with connected(web, serving) as made:
        assert await made.call(ToolRequest("ask", {})) == text("hi")
    (refused,) = [message for _, message, _ in web.seen if message.get("id") == "q"]
    assert refused["error"]["code"] == -32601


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_however_the_bytes_come(size: int) -> None:
    stream = b": comment\n\nid: 1\r\ndata: one\r\n\r\nevent: message\ndata: two\ndata: lines\n\nretry: 250\n\ndata:\n\n"
    reader = EventReader(limit=1000)
    events = [event for at in range(0, len(stream), size) for event in reader.feed(stream[at : at + size])]
    assert [(event.data, event.id, event.retry) for event in events] == [
        (b"one", "1", None),
        (b"two\nlines", None, None),
        (b"", None, 0.25),
        (b"", None, None),
    ]


def test_an_event_over_the_limit_is_not_gathered() -> None:
    reader = EventReader(limit=100)
    assert list(reader.feed(b"data: 0123456789\n" * 5)) == []
    with pytest.raises(ToolServerError, match="more than 100 bytes"):
        list(reader.feed(b"data: 0123456789\n"))
