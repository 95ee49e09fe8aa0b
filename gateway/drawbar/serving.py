"""Serving an ASGI application on a socket of this process, in the running event loop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from drawbar.errors import ConfigurationError
from drawbar.proxy.client import TEAR

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


class _Protocol(HttpToolsProtocol):
    """Logs no requests, however the program around us sets its logs up: session keys stand in URLs. Lets a connection
    be closed in the middle of an answer."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.access_log = False

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TEAR: {"close": self.transport.close}}


class _Server(uvicorn.Server):
    """Leaves signals to the program around it, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def serving(app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, grace: float = 5.0) -> AsyncIterator[str]:
    """Serve until the block is left; yields `http://host:port`. Port 0 takes a free one.

    Requests that are under way then have `grace` seconds to end; after them they are cancelled.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    listener = _bound(host, port)
    config = uvicorn.Config(
        app, http=_Protocol, ws="none", lifespan="off", loop="none", log_config=None, access_log=False,
        server_header=False, date_header=False, proxy_headers=False, timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(grace)), backlog=2048,
    )  # fmt: skip
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    listening = asyncio.create_task(server.listening.wait())
    try:
        await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{listener.getsockname()[1]}"
    finally:
        listening.cancel()
        server.should_exit = True
        await asyncio.shield(task)
        listener.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol, which asyncio wants to see before it sends without Nagle's wait: 40 ms at each later request.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigurationError(_why(error, host, port)) from error
    listener.setblocking(False)
    return listener


def _why(error: Exception, host: str, port: int) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use. Give another with --port, or 0 for any that is free."
    if number == errno.EACCES:
        return f"Port {port} on {host} needs rights that this user does not have. Ports from 1024 on need none."
    return f"{host}:{port} cannot be listened on: {error}."
