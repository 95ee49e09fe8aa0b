"""The client's side of one HTTP request: its body, what it is answered, whether it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

import anyio

from drawbar.proxy.upstream import Headers

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON: Final = (b"content-type", b"application/json")
BODY_PATIENCE = 60.0
"""Seconds for which the next part of a request's body is waited for."""
_WATCH_AFTER: Final = 0.05
"""Seconds after which somebody watches whether the client leaves: most exchanges are over before, and save a task."""

TEAR: Final = "drawbar.tear"
"""The extension by which our server lets an application close a connection: `close`, a function without arguments."""
_TEAR_PATIENCE: Final = 5.0

_TOO_SLOW: Final = b'{"error":{"message":"The body did not come.","type":"timeout","code":"timeout"}}'


class BodyTooLarge(ValueError):
    """The request's body is larger than allowed; the rest of it was not read."""


class ClientGone(ConnectionError):
    """The client left before its request was complete."""


class Client:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.left = False
        self.started = False
        """Whether the answer's head was sent."""
        self.receive = receive
        self.send = send
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def query(self) -> str:
        """The URL's query, as it came."""
        query: bytes = self.scope.get("query_string", b"")
        return query.decode("latin-1")

    async def body(self, limit: int) -> bytes:
        """The request's body.

        Raises:
            BodyTooLarge: it says, or turns out, to be of more than `limit` bytes.
            ClientGone: it broke off, or nothing came of it for too long; the client was then told so.
        """
        said = self.headers.get(b"content-length")
        if said is not None and said.isdigit() and int(said) > limit:
            raise BodyTooLarge
        try:
            return await self._read(limit)
        except TimeoutError:
            await self.answer(408, [JSON, (b"connection", b"close")], _TOO_SLOW)
            self.left = True
            raise ClientGone from None

    async def _read(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        async with asyncio.timeout(BODY_PATIENCE) as patience:
            while True:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    self.left = True
                    raise ClientGone
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise BodyTooLarge
                if not message.get("more_body", False):
                    return b"".join((*parts, part)) if parts else part
                parts.append(part)
                patience.reschedule(asyncio.get_running_loop().time() + BODY_PATIENCE)

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """The whole answer; `content-length` is set here."""
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.write(b"" if self.scope["method"] == "HEAD" else body, last=True)

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        await self._put({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        await self._put({"type": "http.response.body", "body": data, "more_body": not last})

    async def tear(self) -> bool:
        """Close the connection in the middle of the answer, once what was written is sent; False: the server cannot."""
        extension = (self.scope.get("extensions") or {}).get(TEAR)
        if extension is None or self.left:
            return self.left
        extension["close"]()
        with anyio.move_on_after(_TEAR_PATIENCE):
            while (await self.receive())["type"] != "http.disconnect":
                pass
        self.left = True
        return True

    async def _put(self, message: dict[str, Any]) -> None:
        if self.left:
            return
        try:
            await self.send(message)
        except OSError:
            self.left = True

    def watch(self, on_leave: Callable[[], None]) -> None:
        """Call `on_leave` when the client goes away. It begins after a moment in which most answers are complete."""
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER, self._start_watching, on_leave)

    def unwatch(self) -> None:
        """Nobody cares any longer whether the client leaves."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        self._timer = self._watcher = None  # a task that was cancelled keeps all that it saw, and was kept by it

    def _start_watching(self, on_leave: Callable[[], None]) -> None:
        self._watcher = asyncio.create_task(self._watch(on_leave))

    async def _watch(self, on_leave: Callable[[], None]) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.left = True
        on_leave()
