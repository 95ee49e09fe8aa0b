"""Who waits for which answer on a two-way JSON-RPC channel. Decides alone: no I/O here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from drawbar.tools import protocol
from drawbar.tools.connection import OnProgress, RefusedByServer
from drawbar.tools.protocol import Json


class Peer:
    """Our side of a channel to one server."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int | str, asyncio.Future[Json]] = {}
        self._listening: dict[int | str, OnProgress] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def request(self, method: str, params: Json, on_progress: OnProgress | None = None) -> tuple[int, Json]:
        """A new request's id and its message. `answer` waits for it, `forget` ends it."""
        self._next += 1
        id = self._next
        self._waiting[id] = asyncio.get_running_loop().create_future()
        if on_progress is not None:
            self._listening[id] = on_progress
            params = {**params, "_meta": {**params.get("_meta", {}), "progressToken": id}}
        return id, protocol.request(id, method, params)

    async def answer(self, id: int) -> Json:
        """The result. Raises `RefusedByServer`, or whatever the channel ended with."""
        return await self._waiting[id]

    def forget(self, id: int) -> None:
        """Nobody waits for it any more; a late answer is dropped."""
        self._listening.pop(id, None)
        future = self._waiting.pop(id, None)
        if future is not None and not future.cancel() and not future.cancelled():
            future.exception()

    def take(self, message: Any) -> Json | None:
        """Act on what came from the server; returns what is to be said in reply, if anything."""
        if not isinstance(message, dict):
            return None
        method = message.get("method")
        if method is None:
            self._resolve(message)
        elif "id" in message:
            return answer_to(message)
        elif method == "notifications/progress":
            self._tell(message.get("params"))
        return None

    def fail(self, error: Callable[[], Exception]) -> None:
        """The channel is gone: everyone who waits learns it, each by an exception of their own."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error())

    def _resolve(self, message: Json) -> None:
        future = self._waiting.get(_number(message.get("id")))
        if future is None or future.done():
            return
        if isinstance(result := message.get("result"), dict):
            future.set_result(result)
        else:
            future.set_exception(RefusedByServer.from_error(message.get("error")))

    def _tell(self, params: Any) -> None:
        if not isinstance(params, dict):
            return
        listener = self._listening.get(_number(params.get("progressToken")))
        if listener is None:
            return
        task = asyncio.ensure_future(listener({key: value for key, value in params.items() if key != "progressToken"}))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


def answer_to(message: Json) -> Json:
    """What we say to a server that asks something of its client: we are there, and we offer nothing."""
    if message["method"] == "ping":
        return protocol.result(message["id"], {})
    return protocol.error(message["id"], protocol.METHOD_NOT_FOUND, f"This client does not offer {message['method']}.")


def _number(id: Any) -> int | str:
    """Some servers give an id back as a string."""
    if isinstance(id, str) and id.isdecimal():
        return int(id)
    return id if isinstance(id, int | str) else -1
