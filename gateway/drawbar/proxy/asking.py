"""Asking upstreams until one answers: the loop around `failures.decide`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from drawbar.proxy.client import JSON
from drawbar.proxy.failures import RetryPolicy, decide, refusal
from drawbar.proxy.upstream import Exchange, UpstreamError, UpstreamReply, header
from drawbar.wire.dialect import BadBody, Dialect, Response
from drawbar.wire.framing import Framing
from drawbar.wire.tolerant import load

if TYPE_CHECKING:
    from drawbar.proxy.models import Target


@dataclass(slots=True)
class Answered:
    """A whole answer of 2xx."""

    target: Target
    attempts: int
    reply: UpstreamReply
    body: bytes
    response: Response | None
    """What its dialect reads in it; None where no dialect was asked."""


@dataclass(slots=True)
class Streaming:
    """An answer of 2xx whose events are yet to come."""

    target: Target
    attempts: int
    reply: UpstreamReply
    framing: Framing
    first: bytes
    rest: AsyncIterator[bytes]

    async def chunks(self) -> AsyncIterator[bytes]:
        """The stream's bytes as they arrive."""
        yield self.first
        async for chunk in self.rest:
            yield chunk


Asked: TypeAlias = Answered | Streaming


@dataclass(slots=True)
class Attempts:
    """How many requests were sent, for whoever is told of the end by an exception."""

    count: int = 0
    target: Target | None = None


async def ask(
    targets: Sequence[Target],
    exchange: Callable[[Target], Exchange],
    dialect: Dialect | None,
    policy: RetryPolicy,
    attempts: Attempts | None = None,
    amended: Callable[[Target, UpstreamError], bool] | None = None,
) -> Asked:
    """The first usable answer.

    `amended` is asked at each failure whether the next request to the same model is another one, that may do better.

    Raises:
        UpstreamError: none came, to the last retry and the last fallback: the last one's error.
    """
    attempts = attempts or Attempts()
    for position, target in enumerate(targets):
        attempt = 0
        attempts.target = target
        while True:
            attempt += 1
            attempts.count += 1
            try:
                return await _once(target, exchange(target), dialect, attempts.count)
            except UpstreamError as error:
                if amended is not None and amended(target, error):
                    continue
                left = len(targets) - position - 1
                decision = decide(error, attempt=attempt, fallbacks=left, policy=policy, jitter=random.random())
                if decision.action == "give up":
                    raise
                if decision.action == "fallback":
                    break
            await asyncio.sleep(decision.wait)
    raise AssertionError("decide() gives up at the last target")


async def _once(target: Target, exchange: Exchange, dialect: Dialect | None, count: int) -> Asked:
    reply = await target.upstream.send(exchange)
    try:
        if reply.status >= 300:
            body = await reply.read()
            raise refusal(reply.status, reply.headers, body, dialect.error_message(body) if dialect else "")
        framing = exchange.route.framing_of(header(reply.headers, b"content-type") or b"")
        if framing is not None:
            return await _begun(Streaming(target, count, reply, framing, b"", reply.chunks()), dialect)
        body = await reply.read()
        return Answered(target, count, reply, body, None if dialect is None else _read(dialect, reply, body))
    except BaseException:
        await reply.aclose()
        raise


async def _begun(stream: Streaming, dialect: Dialect | None) -> Streaming:
    """The stream once its first bytes have come: till then nothing was given, so all can be asked again."""
    try:
        stream.first = await anext(stream.rest)
    except StopAsyncIteration:
        raise UpstreamError("upstream_broken", "the provider's stream ended before it began", retry=True) from None
    if dialect is not None:
        events = stream.framing.splitter().feed(stream.first)
        payload = stream.framing.payload(events[0]) if events else None
        refused = hidden_refusal(dialect, stream.reply, payload) if payload is not None else None
        if refused is not None:
            raise refused
    return stream


def _read(dialect: Dialect, reply: UpstreamReply, body: bytes) -> Response:
    try:
        return dialect.response(body)
    except BadBody as error:
        hidden = hidden_refusal(dialect, reply, body)
        if hidden is not None:
            raise hidden from None
        said = f"the provider's answer cannot be read: {error}"
        raise UpstreamError("upstream_broken", said, retry=True, body_seen=body) from error


def hidden_refusal(dialect: Dialect, reply: UpstreamReply, body: bytes) -> UpstreamError | None:
    """Some providers answer 200 and put the error, with the status that they mean, into the body."""
    try:
        value = load(body)
    except BadBody:
        return None
    error = value.get("error") if isinstance(value, dict) else None
    if not error:
        return None
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 502
    headers = [JSON, *(pair for pair in reply.headers if pair[0] != b"content-type")]
    return refusal(status, headers, body, dialect.error_message(body))
