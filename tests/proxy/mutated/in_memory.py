"""Both ends of a gateway without a socket: a client, and an upstream that says whatever a test writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drawbar.proxy.client import JSON
from drawbar.proxy.models import Models, Target
from drawbar.proxy.token_server import TokenServer
from drawbar.proxy.upstream import Exchange, Headers, UpstreamError


@dataclass(frozen=True)
class Heard:
    """What a client was answered."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


async def ask(
    app: Any, path: str, body: bytes, *, method: str = "POST", query: str = "", headers: Headers = ()
) -> Heard:
    """One request to an ASGI application, with the rules of ASGI held over its answer."""
    sent = asyncio.Event()
    heads: list[dict[str, Any]] = []
    parts: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if sent.is_set():
            await asyncio.Event().wait()
        sent.set()
        return {"type": "http.request", "body": body, "more_body": False}

    ended = False

    async def send(message: dict[str, Any]) -> None:
        nonlocal ended
        assert not ended, "something follows the answer's end"
        if message["type"] == "http.response.start":
            assert not heads, "the answer begins twice"
            heads.append(message)
        else:
            assert heads, "the answer begins without a head"
            parts.append(message.get("body", b""))
            ended = not message.get("more_body", False)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    assert ended, "the answer has no end"
    return Heard(heads[0]["status"], dict(heads[0]["headers"]), b"".join(parts))


@dataclass
class Line:
    """What the upstream says to one request."""

    status: int = 200
    headers: Headers = ()
    parts: Sequence[bytes] = ()
    breaks: bool = False
    """The connection is lost after the last part."""


class PlayedReply:
    """A line, as an upstream's answer."""

    lost: Sequence[str] = ()

    def __init__(self, line: Line) -> None:
        self.status = line.status
        self.headers = line.headers
        self._line = line

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self._line.parts:
            if part:
                yield part
        if self._line.breaks:
            raise UpstreamError("upstream_broken", "the connection was lost", retry=True)

    async def read(self) -> bytes:
        return b"".join([part async for part in self.chunks()])

    async def aclose(self) -> None:
        pass


@dataclass
class Liar:
    """An upstream that says the line which a request names in its header `x-line`."""

    lines: dict[bytes, Line] = field(default_factory=dict)
    usual: Line = field(default_factory=lambda: Line(headers=[JSON]))
    name: str = "liar"
    streams_usage: bool = True
    remembers: bool = True
    tokens: TokenServer | None = None

    async def send(self, exchange: Exchange) -> PlayedReply:
        return PlayedReply(self.lines.get(dict(exchange.headers).get(b"x-line", b""), self.usual))

    def cost(self, model: str, prompt: int, cached: int, completion: int) -> float | None:
        return None

    async def aclose(self) -> None:
        pass


class Played(Models):
    """Models that all lead to one upstream."""

    def __init__(self, liar: Liar) -> None:
        super().__init__()
        self.liar = liar

    def targets(self, model: str, *_more: Any) -> list[Target]:
        return [Target(self.liar, model)]
