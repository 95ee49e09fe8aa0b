"""An upstream that speaks chat alone, for agents of every other dialect: by our own translators, as words arrive.

For these no litellm is asked: it is not needed to write JSON, takes seconds and much memory to load, and loses silently
what its adapters between dialects do not know (thoughts, pictures, ids of parallel calls). What is lost here is known
and told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import Final

from drawbar.proxy.asking import hidden_refusal
from drawbar.proxy.client import JSON
from drawbar.proxy.counting import count_tokens
from drawbar.proxy.failures import refusal
from drawbar.proxy.in_process import MadeReply
from drawbar.proxy.upstream import Exchange, Headers, Upstream, UpstreamError, UpstreamReply, header
from drawbar.wire import CHAT, TRANSLATORS
from drawbar.wire.bridge import Bridge
from drawbar.wire.chat_request import chat_request, demoted
from drawbar.wire.chat_settings import MOST_TOKENS
from drawbar.wire.dialect import BadBody, Dialect
from drawbar.wire.framing import EVENTS
from drawbar.wire.route import CHAT_TURN
from drawbar.wire.translator import Chat, Translator

AFTERWARDS: Final = 5.0
"""Seconds that are waited, once an answer has ended, for the counts that may follow it."""
_OF_DIALECTS: Final = (b"anthropic-", b"openai-beta", b"x-goog-", b"x-stainless-")


class BridgedUpstream:
    """Passes requests on as chat, and gives answers back in the dialect of the request."""

    remembers = False

    def __init__(self, inner: Upstream, *, limit: str = MOST_TOKENS, reasoning: bool = True) -> None:
        """`limit` and `reasoning` are what `chat_request` takes."""
        self._inner = inner
        self._limit = limit
        self._reasoning = reasoning
        self.name = f"chat/{inner.name}"
        self.streams_usage = inner.streams_usage
        self.tokens = inner.tokens.behind if inner.tokens is not None else None

    async def send(self, exchange: Exchange) -> UpstreamReply:
        route, dialect = exchange.route, exchange.route.dialect
        if route.kind not in ("turn", "count"):
            said = f"{route.path} is not translated to {exchange.model}, which speaks chat alone."
            raise UpstreamError("upstream_rejected", said, status=404, code="not_found", retry=False)
        translator = TRANSLATORS[dialect.name]
        asked = _read(translator, exchange.body)
        if route.kind == "count":
            return MadeReply([translator.count(await count_tokens(exchange.model, asked))])
        reply = await self._inner.send(self._as_chat(exchange, asked))
        bridge = Bridge(dialect.name, translator, asked, exchange.model)
        bridge.lost += reply.lost
        if not self._reasoning and any("reasoning_content" in message for message in asked.messages):
            bridge.lost.append("earlier reasoning")
        if demoted(asked.messages):
            bridge.lost.append("the rank of what the system says later on")
        if reply.status >= 300:
            raise await _refused(reply, dialect)
        if (header(reply.headers, b"content-type") or b"").startswith(EVENTS.media_type):
            return _Stream(reply, bridge, exchange)
        return await _whole(reply, bridge, exchange)

    def _as_chat(self, exchange: Exchange, asked: Chat) -> Exchange:
        body = chat_request(
            asked, exchange.model, stream=exchange.stream, usage=self._inner.streams_usage, limit=self._limit,
            reasoning=self._reasoning,
        )  # fmt: skip
        if exchange.on_tokens is not None and self.tokens is not None:
            body = self.tokens.asked_in_chat(body)
        headers = [pair for pair in exchange.headers if not pair[0].startswith(_OF_DIALECTS)]
        return Exchange(
            route=CHAT_TURN, body=body, model=exchange.model, stream=exchange.stream, headers=headers,
            key=exchange.key, task=exchange.task,
        )  # fmt: skip

    def cost(self, model: str, prompt: int, cached: int, completion: int) -> float | None:
        return self._inner.cost(model, prompt, cached, completion)

    async def aclose(self) -> None:
        """What is asked behind this is closed by whoever made it."""


def _read(translator: Translator, body: bytes) -> Chat:
    try:
        return translator.chat(body)
    except (BadBody, RecursionError) as error:
        said = f"This request cannot be read: {error}."
        raise UpstreamError("upstream_rejected", said, status=400, code="bad_request") from error


async def _refused(reply: UpstreamReply, dialect: Dialect) -> UpstreamError:
    try:
        body = await reply.read()
    finally:
        await reply.aclose()
    return _native(refusal(reply.status, reply.headers, body, CHAT.error_message(body)), dialect)


def _native(error: UpstreamError, dialect: Dialect) -> UpstreamError:
    """The provider's error in the words of the client's dialect; as it came it is recorded."""
    if error.body is not None:
        error.body = dialect.error(error.status, str(error), error.code)
        error.headers = _headers(error.headers, JSON[1])
    return error


def _headers(headers: Headers, media_type: bytes) -> Headers:
    """The provider's, for a body that is ours."""
    kept = (pair for pair in headers if pair[0] not in (b"content-type", b"content-length"))
    return [(b"content-type", media_type), *kept]


async def _whole(reply: UpstreamReply, bridge: Bridge, exchange: Exchange) -> MadeReply:
    try:
        body = await reply.read()
        answer = bridge.whole(body)
    except BadBody as error:
        hidden = hidden_refusal(CHAT, reply, body)
        if hidden is not None:
            raise _native(hidden, exchange.route.dialect) from None
        said = f"the provider's answer cannot be read: {error}"
        raise UpstreamError("upstream_broken", said, retry=True, body_seen=body) from error
    finally:
        await reply.aclose()
    if exchange.on_tokens is not None:
        exchange.on_tokens(bridge.tokens)
    made = MadeReply([answer], status=reply.status, lost=bridge.lost)
    made.headers = _headers(reply.headers, JSON[1])
    return made


class _Stream:
    """Chat's events as those of another dialect."""

    def __init__(self, reply: UpstreamReply, bridge: Bridge, exchange: Exchange) -> None:
        self._reply = reply
        self._bridge = bridge
        self._dialect = exchange.route.dialect
        self._framing = exchange.route.framing
        self._on_tokens = exchange.on_tokens
        self._first = True
        self.status = reply.status
        self.headers = _headers(reply.headers, self._framing.media_type)
        self.lost: Sequence[str] = bridge.lost

    async def chunks(self) -> AsyncIterator[bytes]:
        splitter = EVENTS.splitter()
        try:
            async for chunk in self._until_end():
                for raw in splitter.feed(chunk):
                    payload = EVENTS.payload(raw)
                    if payload is not None and (found := self._carried(payload)):
                        yield found
        except BadBody as error:
            raise UpstreamError("upstream_broken", f"the provider's answer cannot be read: {error}") from error
        finally:
            if self._on_tokens is not None:
                self._on_tokens(self._bridge.tokens)
        if self._bridge.ended:
            yield self._written(self._bridge.end(), last=True)

    def _carried(self, payload: bytes) -> bytes:
        """What follows from one chunk."""
        found = self._bridge.chunk(payload)
        if self._bridge.error is not None:
            hidden = hidden_refusal(CHAT, self._reply, payload)
            raise (
                UpstreamError("upstream_broken", self._bridge.error)
                if hidden is None
                else _native(hidden, self._dialect)
            )
        return self._written(found) if found else b""

    async def _until_end(self) -> AsyncIterator[bytes]:
        """What comes; once the answer has ended, what may follow is waited for a moment and no longer."""
        chunks = self._reply.chunks()
        while not self._bridge.done:
            try:
                async with asyncio.timeout(AFTERWARDS) if self._bridge.ended else nullcontext():
                    chunk = await anext(chunks, None)
            except (TimeoutError, UpstreamError):
                if not self._bridge.ended:
                    raise
                return
            if chunk is None:
                return
            yield chunk

    def _written(self, payloads: Sequence[bytes], *, last: bool = False) -> bytes:
        first, self._first = self._first, False
        return self._framing.written(payloads, first=first, last=last)

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def aclose(self) -> None:
        await self._reply.aclose()
