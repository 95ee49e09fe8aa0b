"""What a proxy costs that records nothing: a relay of bytes and a plain aiohttp one, each a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import cast
from urllib.parse import urlsplit

import aiohttp
import uvloop
from aiohttp import web


class Upward(asyncio.Protocol):
    """A connection to the upstream: what it says goes to one client."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.close()


class Downward(asyncio.Protocol):
    """A client's connection: what it says goes to an upstream connection of its own, unread."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._upstream: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connecting = asyncio.ensure_future(self._connect(cast(asyncio.Transport, transport)))

    async def _connect(self, client: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        self._upstream, _ = await loop.create_connection(lambda: Upward(client), *self._address)
        self._upstream.writelines(self._waiting)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        if self._upstream is None:
            self._waiting.append(data)
        else:
            self._upstream.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._upstream is not None:
            self._upstream.close()


async def relay_bytes(upstream: str) -> None:
    where = urlsplit(upstream)
    assert where.hostname is not None
    assert where.port is not None
    host, port = where.hostname, where.port
    server = await asyncio.get_running_loop().create_server(lambda: Downward(host, port), "127.0.0.1", 0, backlog=4096)
    _ready(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def relay_aiohttp(upstream: str) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            headers = {"Content-Type": request.content_type}
            async with session.post(upstream + request.path_qs, data=body, headers=headers) as answer:
                if answer.content_type != "text/event-stream":
                    return web.Response(
                        status=answer.status, body=await answer.read(), content_type=answer.content_type
                    )
                response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
                await response.prepare(request)
                async for data in answer.content.iter_any():
                    await response.write(data)
                await response.write_eof()
                return response

        application = web.Application(client_max_size=1 << 30)
        application.router.add_post("/{path:.*}", forward)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        _ready(runner.addresses[0][1])
        await asyncio.Event().wait()


def _ready(port: int) -> None:
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=["bytes", "aiohttp"])
    parser.add_argument("upstream")
    arguments = parser.parse_args()
    uvloop.run((relay_bytes if arguments.kind == "bytes" else relay_aiohttp)(arguments.upstream))


if __name__ == "__main__":
    main()
