"""A scripted model behind a real HTTP server that speaks every dialect, streaming and not.

It answers `GET <anything>/models` and, below any URL prefix too, `POST` to `chat/completions`, `responses`, `messages`
(and `messages/count_tokens`) and `v1beta/models/{model}:generateContent`, `:streamGenerateContent`, `:countTokens`. The
script is the same for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson
from aiohttp import web

from drawbar.testing.native import Scripted, route_of
from drawbar.testing.script import Message, Reply, Script
from drawbar.testing.token_server import TokenTeller
from drawbar.wire.chat_writer import pieces


@dataclass(frozen=True, slots=True)
class Failure:
    """A line of the script that is an HTTP error."""

    status: int = 500
    message: str = "the scripted failure"
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """The whole body, instead of an error in the dialect's shape."""


@dataclass(frozen=True, slots=True)
class Hang:
    """A line that never answers (until the client leaves)."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A line whose stream breaks off after some events, with the connection closed."""

    reply: Reply
    after: int | str = 1
    """How many events come; or the words of which the last event is the first one that holds them. Long texts and
    arguments come in pieces of 80 characters; in chat, texts come word by word."""


Line: TypeAlias = Reply | Failure | Hang | Cut
"""What a served model does in one turn."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came, in its own dialect."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any]
    raw: bytes


class ChatServer:
    """What `serve_chat` yields."""

    def __init__(
        self, lines: Sequence[Line] | Callable[[dict[str, Any]], Line], *, in_order: bool, tokens: str | None
    ) -> None:
        self._teller = TokenTeller(tokens) if tokens is not None else None
        self._lines = lines
        self._in_order = in_order
        self.url = ""
        """`http://host:port`"""
        self.requests: list[Received] = []
        self.left = asyncio.Event()
        """Set when a client went away from a `Hang`."""
        self.arrived = asyncio.Event()
        """Set when the first request came."""
        self._kept: dict[str, list[Message]] = {}

    @property
    def base_url(self) -> str:
        """What OpenAI SDKs call `base_url`."""
        return self.url + "/v1"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        route = route_of(request.path, request.query_string)
        if route is None:
            raise web.HTTPNotFound
        asked = Scripted(route, raw, self._kept)
        if asked.route.kind == "count":
            return web.Response(body=asked.count(), content_type="application/json")
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Received(request.path, headers, orjson.loads(raw), raw))
        self.arrived.set()
        refusal = self._teller.refusal(asked.body) if self._teller is not None else None
        line = self._line(asked.body) if refusal is None else Failure(400, refusal)
        return await self._answer(request, asked, line)

    def _line(self, body: dict[str, Any]) -> Line:
        if callable(self._lines):
            return self._lines(body)
        spoken = sum(message.get("role") == "assistant" for message in body["messages"])
        turn = len(self.requests) - 1 if self._in_order else spoken
        if turn >= len(self._lines):
            return Failure(500, f"The script has {len(self._lines)} lines; turn {turn + 1} was asked for.")
        return self._lines[turn]

    async def _answer(self, request: web.Request, asked: Scripted, line: Line) -> web.StreamResponse:
        match line:
            case Failure():
                content = _error(asked, line) if line.body is None else line.body
                return web.Response(
                    status=line.status, body=content, headers={"Content-Type": "application/json", **line.headers}
                )
            case Hang():
                try:
                    await asyncio.Event().wait()
                finally:
                    self.left.set()
                raise AssertionError("unreachable")
            case Cut():
                pieces = self._pieces(asked, self._message(line.reply, asked.body))
                return await _stream(request, asked, pieces[: _kept(pieces, line.after)], cut=True)
        message = self._message(line, asked.body)
        if asked.stream:
            return await _stream(request, asked, self._pieces(asked, message))
        return web.json_response(body=orjson.dumps(self._whole(asked, message)))

    def _whole(self, asked: Scripted, message: dict[str, Any]) -> dict[str, Any]:
        teller = self._teller
        if asked.route.dialect.name == "chat":
            completion = _completion(asked.body, message)
            return completion if teller is None else teller.completion(asked.body, completion)
        answer = asked.answer(message, f"scripted_{len(self.requests)}")
        if teller is not None and asked.route.dialect.name == "responses":
            answer = teller.response(orjson.loads(asked.raw), answer)
        self._kept[str(answer.get("id"))] = [*asked.body["messages"], message]
        return answer

    def _pieces(self, asked: Scripted, message: dict[str, Any]) -> list[bytes]:
        if asked.route.dialect.name == "chat":
            events = _events(asked.body, message)
            told = events if self._teller is None else self._teller.chunks(asked.body, events)
            return [b"data: " + event + b"\n\n" for event in (*map(orjson.dumps, told), b"[DONE]")]
        return asked.pieces(self._whole(asked, message))

    def _message(self, reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
        spoken = sum(m.get("role") == "assistant" for m in body["messages"])
        return Script([reply] * (spoken + 1)).at(spoken, body["messages"])


@asynccontextmanager
async def serve_chat(
    lines: Sequence[Line] | Callable[[dict[str, Any]], Line],
    *,
    in_order: bool = False,
    host: str = "127.0.0.1",
    tokens: str | None = None,
) -> AsyncIterator[ChatServer]:
    """Serve a scripted model over HTTP on a free port.

    Each request is answered by the line of its turn (the number of assistant messages in it), so that any number of
    conversations can go on at once, in any dialect. With `in_order=True` lines are used up one per request instead,
    whoever asks: for failures that go away on a retry. `lines` may also be a function of the request's body (of another
    dialect's than chat: its model, messages and tools as chat has them). With `tokens` (vllm, sglang, llama_cpp,
    logprobs) it tells of its tokens as such a server does, where it is asked.
    """
    server = ChatServer(lines, in_order=in_order, tokens=tokens)
    application = web.Application(client_max_size=64 << 20)
    application.router.add_post("/{path:.*}", server.handle)
    application.router.add_get("/{prefix:.*}models", _models)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0)
        await site.start()
        server.url = f"http://{host}:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


async def _models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "scripted", "object": "model", "owned_by": "drawbar"}]})


def _error(asked: Scripted, line: Failure) -> bytes:
    if asked.route.dialect.name == "chat":
        return orjson.dumps({"error": {"message": line.message, "type": "error", "code": line.code}})
    return asked.route.dialect.error(line.status, line.message, line.code or "scripted")


def _kept(pieces: Sequence[bytes], after: int | str) -> int:
    """How many pieces of a stream come before it breaks off."""
    if isinstance(after, int):
        return after
    found = next((at for at, piece in enumerate(pieces) if after.encode() in piece), None)
    if found is None:
        raise LookupError(f"No event of this reply holds {after!r}.")
    return found + 1


def _usage(body: dict[str, Any], message: Message) -> dict[str, int]:
    """Token counts that grow with the text: a quarter of its bytes."""
    prompt, completion = len(orjson.dumps(body["messages"])) // 4, len(orjson.dumps(message)) // 4
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _completion(body: dict[str, Any], message: Message) -> dict[str, Any]:
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": _usage(body, message),
    }


def _events(body: dict[str, Any], message: Message) -> list[dict[str, Any]]:
    """The stream's events: the role, each word, each tool call in pieces, the end, and the usage if asked for."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": word} for word in _words(message.get("reasoning_content") or "")]
    deltas += [{"content": word} for word in _words(message.get("content") or "")]
    for index, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        deltas.append({"tool_calls": [{"index": index, **call, "function": {**function, "arguments": ""}}]})
        written = pieces(function["arguments"]) or [""]
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in written]
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    events = [_chunk(body, [{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    events.append(_chunk(body, [{"index": 0, "delta": {}, "finish_reason": finish}]))
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append(_chunk(body, [], usage=_usage(body, message)))
    return events


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")[:-1]] + ([text.split(" ")[-1]] if text else [])


def _chunk(body: dict[str, Any], choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1_700_000_000}
    return {**head, "model": body.get("model"), "choices": choices, **more}


async def _stream(
    request: web.Request, asked: Scripted, pieces: Sequence[bytes], *, cut: bool = False
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": asked.route.framing.media_type.decode()})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    if cut:
        assert request.transport is not None
        request.transport.abort()
    return response
