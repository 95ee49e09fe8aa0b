"""One JSON-RPC message to a server over HTTP, and what comes back: a JSON body, or a stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from yarl import URL

from drawbar.errors import ToolServerError
from drawbar.tools import protocol
from drawbar.tools.connection import OnProgress, RefusedByServer
from drawbar.tools.peer import answer_to
from drawbar.tools.protocol import Json
from drawbar.tools.sse import EventReader
from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import load_whole

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one message, beyond which a server is taken to be broken."""

_TIMEOUT = ClientTimeout(total=None, sock_connect=10)
_ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
_REDIRECTS = 3
_RESUMPTIONS = 5


class HttpRefusal(RefusedByServer):
    """An HTTP status of 4xx in place of an answer."""

    def __init__(self, status: int, error: RefusedByServer) -> None:
        super().__init__(error.code, error.message, error.data)
        self.status = status


class HttpExchange:
    """A request in flight. `session_id` is what the server's answer gave, if it did."""

    def __init__(
        self, http: ClientSession, url: str, headers: Mapping[str, str], on_progress: OnProgress | None = None
    ) -> None:
        self._http = http
        self._url = URL(url)
        self._headers = {**headers, **_ACCEPT}
        self._on_progress = on_progress
        self.session_id: str | None = None

    async def run(self, message: Json) -> Json:
        """The result. Raises `RefusedByServer`, `ToolServerError`, and aiohttp's errors of connection."""
        response = await self._post(message)
        async with response:
            self.session_id = response.headers.get("Mcp-Session-Id")
            await _raise_for_status(response)
            if response.content_type == "text/event-stream":
                answer, resume = await self._read_events(response, message["id"])
            else:
                answer, resume = _load(await _read(response)), None
        for _ in range(_RESUMPTIONS):
            if answer is not None or resume is None:
                break
            answer, resume = await self._resume(resume, message["id"])
        return _result(answer)

    async def tell(self, message: Json) -> None:
        """Send what has no answer."""
        async with await self._post(message) as response:
            await _raise_for_status(response)

    async def _post(self, message: Json) -> ClientResponse:
        """Follows redirects on the same origin alone: headers may hold secrets."""
        url, body = self._url, orjson.dumps(message)
        for _ in range(_REDIRECTS):
            response = await self._http.post(
                url, data=body, headers=self._headers, allow_redirects=False, timeout=_TIMEOUT
            )
            if response.status not in (307, 308):
                return response
            response.release()
            target = url.join(URL(response.headers.get("Location", "")))
            if target.origin() != url.origin():
                raise ToolServerError(f"redirects to another origin ({target.origin()}); use that URL if it is meant")
            url = target
        raise ToolServerError("redirects in circles")

    async def _read_events(self, response: ClientResponse, id: int) -> tuple[Json | None, tuple[str, float] | None]:
        """The answer; without one, the last event's id and how long to wait before asking for the rest."""
        reader = EventReader(MAX_MESSAGE)
        last, wait = None, 1.0
        async for chunk in response.content.iter_any():
            for event in reader.feed(chunk):
                last = event.id or last
                wait = wait if event.retry is None else event.retry
                message = _load(event.data) if event.data else None
                if message is not None and (answer := await self._take(message, id)) is not None:
                    return answer, None
        return None, None if last is None else (last, wait)

    async def _take(self, message: Json, id: int) -> Json | None:
        """Passes on progress, answers what the server asks of a client, and returns the answer when it is that."""
        if "method" not in message:
            return message if str(message.get("id")) == str(id) else None
        params = message.get("params")
        if "id" in message:
            with suppress(ClientError, RefusedByServer, ToolServerError):  # its answer may come all the same
                await self.tell(answer_to(message))
        elif (
            message["method"] == "notifications/progress" and self._on_progress is not None and isinstance(params, dict)
        ):
            await self._on_progress({key: value for key, value in params.items() if key != "progressToken"})
        return None

    async def _resume(self, at: tuple[str, float], id: int) -> tuple[Json | None, tuple[str, float] | None]:
        """A server of 2025-11-25 may close a stream and want to be asked for the rest."""
        await asyncio.sleep(at[1])
        headers = {**self._headers, "Accept": "text/event-stream", "Last-Event-ID": at[0]}
        async with self._http.get(self._url, headers=headers, allow_redirects=False, timeout=_TIMEOUT) as response:
            await _raise_for_status(response)
            answer, resume = await self._read_events(response, id)
            return answer, resume or at


async def _raise_for_status(response: ClientResponse) -> None:
    if response.status < 300:
        return
    body = (await _read(response))[:4000]
    try:
        said = orjson.loads(body)
        refusal = RefusedByServer.from_error(said["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        words = body.decode(errors="replace").strip()[:200]
        refusal = RefusedByServer(protocol.INTERNAL_ERROR, f"HTTP {response.status} {words}".strip())
        if response.status >= 500 or response.status < 400:
            raise ToolServerError(f"answered {refusal}") from None
    raise HttpRefusal(response.status, refusal)


async def _read(response: ClientResponse) -> bytes:
    parts, size = [], 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_MESSAGE:
            raise ToolServerError(f"sent a message of more than {MAX_MESSAGE:,} bytes")
    return b"".join(parts)


def _load(data: bytes) -> Json:
    try:
        message: Any = load_whole(data)
    except BadBody:
        raise ToolServerError(f"answered with something that is not JSON: {data[:100]!r}") from None
    if not isinstance(message, dict):
        raise ToolServerError(f"answered with something that is no JSON-RPC message: {data[:100]!r}")
    return message


def _result(answer: Json | None) -> Json:
    if answer is None:
        raise ToolServerError("ended its answer before there was one")
    if isinstance(result := answer.get("result"), dict):
        return result
    raise RefusedByServer.from_error(answer.get("error"))
