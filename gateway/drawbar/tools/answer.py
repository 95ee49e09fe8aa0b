"""One HTTP answer to one JSON-RPC request: JSON when it is quick, events when something comes before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson

from drawbar.tools import protocol
from drawbar.tools.protocol import Json

if TYPE_CHECKING:
    from starlette.types import Receive, Send

_SSE_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class Answer:
    """`notify` any number of times, then `finish` once. Sending to a client that left does nothing."""

    def __init__(self, send: Send, *, streams: bool, progress_token: int | str | None) -> None:
        self._send = send
        self._streams = streams
        self._token = progress_token
        self._began = False
        self._ended = False
        self._lock = asyncio.Lock()

    async def progress(self, params: Json) -> None:
        """Pass on a server's progress to a client that asked for it."""
        if self._token is not None and self._streams:
            said = protocol.notification("notifications/progress", {**params, "progressToken": self._token})
            await self._event(b"event: message\ndata: " + orjson.dumps(said) + b"\n\n")

    async def ping(self) -> None:
        """Keep proxies and clients from giving up."""
        if self._streams:
            await self._event(b": ping\n\n")

    async def finish(self, message: Json, status: int = 200) -> None:
        """The JSON-RPC response. The status is only for an answer that has not begun as a stream."""
        body = orjson.dumps(message)
        async with self._lock:
            self._ended = True
            if self._began:
                event = b"event: message\ndata: " + body + b"\n\n"
                await self._send({"type": "http.response.body", "body": event, "more_body": False})
            else:
                await send_json(self._send, status, body)

    async def _event(self, event: bytes) -> None:
        async with self._lock:
            if self._ended:
                return
            if not self._began:
                self._began = True
                await self._send({"type": "http.response.start", "status": 200, "headers": _SSE_HEADERS})
            await self._send({"type": "http.response.body", "body": event, "more_body": True})


class Companion:
    """Watches the client while a call runs: pings when it gets long, and tells when the client leaves.

    Most calls are over before it begins, and cost a timer in place of a task.
    """

    def __init__(
        self, answer: Answer, receive: Receive, on_leave: Callable[[], None], *, after: float, every: float
    ) -> None:
        self._answer = answer
        self._receive = receive
        self._on_leave = on_leave
        self._every = every
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(after, self._begin)

    async def dismiss(self) -> None:
        """The call is over."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._every):
                    message = await self._receive()
            except TimeoutError:
                await self._answer.ping()
                continue
            if message["type"] == "http.disconnect":
                self._on_leave()
                return


async def send_json(send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """A whole answer at once."""
    length = str(len(body)).encode()
    lines = [(b"content-type", b"application/json"), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_accepted(send: Send) -> None:
    """202: a notification was taken, and there is nothing to say to it."""
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
