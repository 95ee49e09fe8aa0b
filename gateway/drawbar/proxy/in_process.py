"""An upstream in this process: a `drawbar.model.Model` answering as an API would, streaming and not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from drawbar.ids import new_id
from drawbar.model import Model
from drawbar.proxy.upstream import Exchange, Headers, UpstreamError, UpstreamReply
from drawbar.wire.sse import event
from drawbar.wire.tolerant import dump, load_object


class InProcessUpstream:
    """One in-process model. Its usage is an honest guess: words, where an API counts tokens."""

    streams_usage = True

    def __init__(self, name: str, model: Model) -> None:
        self.name = name
        self._model = model

    async def send(self, exchange: Exchange) -> UpstreamReply:
        if exchange.path != "chat/completions":
            raise UpstreamError(
                "upstream_rejected", f"{self.name} is an in-process model: it knows no {exchange.path}.", status=404
            )
        body = load_object(exchange.body, "the request")
        messages, tools = body.get("messages") or [], body.get("tools") or []
        try:
            message = {"role": "assistant", "content": None, **await self._model(messages, tools, exchange.task)}
        except Exception as error:
            said = f"the in-process model {self.name} raised {type(error).__name__}: {error}"
            raise UpstreamError("upstream_unavailable", said, status=500, retry=False) from error
        completion = _completion(exchange.model, message, messages, tools)
        if not exchange.stream:
            return MadeReply([dump(completion)])
        options = body.get("stream_options")
        return MadeReply(
            stream(completion, usage=isinstance(options, dict) and bool(options.get("include_usage"))), sse=True
        )

    def cost(self, model: str, prompt: int, cached: int, completion: int) -> float | None:
        return 0.0

    async def aclose(self) -> None:
        pass


class MadeReply:
    """An answer that was made here."""

    def __init__(self, body: Sequence[bytes], *, status: int = 200, sse: bool = False, headers: Headers = ()) -> None:
        self.status = status
        self.headers: Headers = [
            (b"content-type", b"text/event-stream; charset=utf-8" if sse else b"application/json"),
            *headers,
        ]
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self._body:
            yield part

    async def read(self) -> bytes:
        return b"".join(self._body)

    async def aclose(self) -> None:
        pass


def words(value: Any) -> int:
    """How many words stand in a JSON value: the tokens of an in-process model (no tokenizer is asked)."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, dict | list | tuple | Mapping):  # the abstract one last: asking it is slow
        return sum(map(words, value if isinstance(value, list | tuple) else value.values()))
    return int(value is not None)


def _completion(
    model: str, message: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    said = {key: value for key, value in message.items() if key != "role"}
    asked, answered = sum(words(m) for m in messages) + words(tools), words(said)
    return {
        "id": new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if message.get("tool_calls") else "stop"}
        ],
        "usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
    }


def stream(completion: Mapping[str, Any], *, usage: bool) -> list[bytes]:
    """The same completion as the events of a stream: its message's fields one after another, texts in pieces."""
    head = {key: completion[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    choice = completion["choices"][0]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for key, value in choice["message"].items():
        deltas += _deltas(key, value)
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if usage:
        chunks.append({**head, "choices": [], "usage": completion["usage"]})
    return [*(event(dump(chunk)) for chunk in chunks), event(b"[DONE]")]


def _deltas(key: str, value: Any) -> list[dict[str, Any]]:
    if key == "role" or value is None:
        return []
    if key == "tool_calls":
        return [{key: [{"index": index, **call}]} for index, call in enumerate(value)]
    if isinstance(value, str):
        return [{key: value[at : at + 80]} for at in range(0, len(value), 80)]
    return [{key: value}]
