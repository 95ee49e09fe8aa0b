"""An upstream that is asked no more than so many things at a time. Whoever comes later waits; nobody is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from drawbar.proxy.upstream import Exchange, Headers, Upstream, UpstreamReply


class LimitedUpstream:
    """Passes exchanges on. A place is taken until the answer has come whole or is let go of."""

    def __init__(self, upstream: Upstream, places: asyncio.Semaphore) -> None:
        self._upstream = upstream
        self._places = places
        self.name = upstream.name
        self.streams_usage = upstream.streams_usage
        self.remembers = upstream.remembers
        self.tokens = upstream.tokens

    async def send(self, exchange: Exchange) -> UpstreamReply:
        await self._places.acquire()
        try:
            return _Reply(await self._upstream.send(exchange), self._places)
        except BaseException:
            self._places.release()
            raise

    def cost(self, model: str, prompt: int, cached: int, completion: int) -> float | None:
        return self._upstream.cost(model, prompt, cached, completion)

    async def aclose(self) -> None:
        await self._upstream.aclose()


class _Reply:
    """An answer that gives its place back once."""

    def __init__(self, reply: UpstreamReply, places: asyncio.Semaphore) -> None:
        self._reply = reply
        self._places: asyncio.Semaphore | None = places
        self.status: int = reply.status
        self.headers: Headers = reply.headers
        self.lost = reply.lost

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._reply.chunks():
                yield chunk
        finally:
            self._leave()

    async def read(self) -> bytes:
        try:
            return await self._reply.read()
        finally:
            self._leave()

    async def aclose(self) -> None:
        self._leave()
        await self._reply.aclose()

    def _leave(self) -> None:
        places, self._places = self._places, None
        if places is not None:
            places.release()
