"""An upstream behind litellm, for providers that speak another dialect. Its import costs seconds: only when asked."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread

from drawbar.proxy.in_process import MadeReply
from drawbar.proxy.prices import cost
from drawbar.proxy.upstream import Exchange, Headers, UpstreamError, UpstreamReply
from drawbar.wire.sse import event
from drawbar.wire.tolerant import dump, load_object


class LiteLLMUpstream:
    """All of litellm's providers. Fields that a provider does not know are left out of what it is sent."""

    streams_usage = True

    def __init__(self, name: str = "litellm", *, timeout: float = 600.0, options: dict[str, Any] | None = None) -> None:
        """`options` go with every request to litellm (`api_base`, `api_key`, ...)."""
        self.name = name
        self._timeout = timeout
        self._options = options or {}
        self._lock = asyncio.Lock()
        self._litellm: Any = None

    async def send(self, exchange: Exchange) -> UpstreamReply:
        litellm = await self._library()
        if exchange.path != "chat/completions":
            raise UpstreamError(
                "upstream_rejected", f"{exchange.path} is not translated to {exchange.model}.", status=404
            )
        fields = {**load_object(exchange.body, "the request"), "model": exchange.model, "stream": exchange.stream}
        settings = {"drop_params": True, "num_retries": 0, "max_retries": 0, "timeout": self._timeout, **self._options}
        if exchange.key is not None:
            settings["api_key"] = exchange.key
        try:
            answer = await litellm.acompletion(**fields, **settings)
        except Exception as error:
            return _refused(error)
        return _Stream(answer) if exchange.stream else MadeReply([dump(answer.model_dump(exclude_none=True))])

    def cost(self, model: str, prompt: int, cached: int, completion: int) -> float | None:
        return cost((model, model.partition("/")[2]), prompt, cached, completion)

    async def aclose(self) -> None:
        if self._litellm is not None:
            await self._litellm.close_litellm_async_clients()

    async def _library(self) -> Any:
        async with self._lock:
            if self._litellm is None:
                self._litellm = await anyio.to_thread.run_sync(_imported)
        return self._litellm


class _Stream:
    """litellm's chunks as events."""

    status = 200
    headers: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"),)

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer:
                yield event(dump(chunk.model_dump(exclude_none=True)))
        except Exception as error:
            raise UpstreamError("upstream_broken", f"the provider broke off its answer: {error}") from error
        yield event(b"[DONE]")

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def aclose(self) -> None:
        close = getattr(self._answer, "aclose", None)
        if close is not None:
            await close()


def _imported() -> Any:
    # Without this it asks the network for a table of prices while it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        import litellm
    except ImportError as error:
        raise UpstreamError(
            "upstream_unavailable", f"litellm cannot be imported ({error}): pip install litellm", retry=False
        ) from error
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    logging.getLogger("LiteLLM").setLevel(logging.ERROR)
    return litellm


def _refused(error: Exception) -> MadeReply:
    """litellm's exceptions carry the provider's status; an error of litellm's own is a 500."""
    status = getattr(error, "status_code", None)
    status = status if isinstance(status, int) and 400 <= status < 600 else 500
    response = getattr(error, "response", None)
    asked = getattr(response, "headers", {}).get("retry-after") if response is not None else None
    headers = [(b"retry-after", str(asked).encode("latin-1"))] if asked else []
    said = getattr(error, "message", None) or str(error)
    body = dump({"error": {"message": said, "type": type(error).__name__, "param": None, "code": None}})
    return MadeReply([body], status=status, headers=headers)
