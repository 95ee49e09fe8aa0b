"""A gateway served on loopback in front of an upstream whose every answer the test writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import aiohttp
import pytest
from aiohttp import web
from openai import AsyncOpenAI

from drawbar.environment import Environment
from drawbar.gateway import Gateway
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store
from drawbar.serving import serving
from drawbar.sessions import Session, SessionSpec
from drawbar.trajectory import Trajectory

Answer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]
PROVIDER_KEY = "sk-provider-secret"
NO_WAITING = RetryPolicy(attempts=3, first_wait=0.001, longest_wait=0.002, longest_retry_after=0.05)


def completion(text: str = "hello", **fields: Any) -> dict[str, Any]:
    """A chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "upstream-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        **fields,
    }


def chunk(delta: Mapping[str, Any] | None = None, finish: str | None = None, **fields: Any) -> bytes:
    """One event of a stream."""
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "upstream-model"}
    return b"data: " + json.dumps({**head, "choices": choices, **fields}).encode() + b"\n\n"


USAGE_EVENT = chunk(choices=[], usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
DONE = b"data: [DONE]\n\n"
STREAM = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "hel"}),
    chunk({"content": "lo"}),
    chunk({}, "stop"),
]


async def whole(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """The usual answer: `completion()`, or `STREAM` where a stream is asked for."""
    if not body.get("stream"):
        return web.json_response(completion())
    usage = (body.get("stream_options") or {}).get("include_usage")
    return await streamed(request, *STREAM, *([USAGE_EVENT] if usage else []), DONE)


async def streamed(request: web.Request, *events: bytes) -> web.StreamResponse:
    """A stream of these events, each a write of its own."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        await response.write(event)
    return response


@dataclass
class Provider:
    """The scripted upstream."""

    url: str = ""
    answer: Answer = whole
    requests: list[web.Request] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the gateway closed a request before it was answered."""

    completion = staticmethod(completion)
    chunk = staticmethod(chunk)
    streamed = staticmethod(streamed)
    STREAM: ClassVar = STREAM
    USAGE: ClassVar = USAGE_EVENT
    DONE: ClassVar = DONE

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was asked, in order."""
        return [json.loads(raw) for raw in self.raw]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.raw.append(await request.read())
        try:
            return await self.answer(request, json.loads(self.raw[-1] or b"{}"))
        except asyncio.CancelledError:
            self.left.set()
            raise


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    found = Provider()
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@dataclass
class House:
    """A gateway that is served, and how to use it."""

    gateway: Gateway
    url: str
    http: aiohttp.ClientSession
    folder: Path
    stop: Callable[[], Awaitable[None]]
    """Stop listening; the gateway itself goes on."""

    async def session(self, **spec: Any) -> Session:
        return await self.gateway.open(SessionSpec(**spec))

    def openai(self, session: Session | None = None, **options: Any) -> AsyncOpenAI:
        key = session.key if session is not None else "anything"
        return AsyncOpenAI(**{"base_url": self.url + "/v1", "api_key": key, "max_retries": 0, **options})

    async def post(self, session: Session | None, body: Any, **options: Any) -> aiohttp.ClientResponse:
        """A chat completions request of a raw client. `read=False`: the test reads the answer's body itself."""
        headers = {"authorization": f"Bearer {session.key}"} if session is not None else {}
        headers |= options.pop("headers", {})
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = options.pop("path", "/v1/chat/completions")
        read = options.pop("read", True)
        response = await self.http.post(self.url + path, data=data, headers=headers, **options)
        if read:
            await response.read()
        return response

    def store_files(self) -> list[Path]:
        return list(self.folder.glob("test.db*"))

    async def trajectory(self, session: Session) -> Trajectory:
        """What is recorded of a session now, everything handed in before included."""
        await self.gateway.recorder.commit()
        return self.gateway.store.trajectory(session.id)


class MakeHouse(Protocol):
    def __call__(
        self,
        *,
        settings: Settings = ...,
        models: Models | None = None,
        environments: Mapping[str, Environment] | None = None,
        store: Store | None = None,
    ) -> AbstractAsyncContextManager[House]: ...


@pytest.fixture
def serve(provider: Provider, tmp_path: Path) -> MakeHouse:
    @asynccontextmanager
    async def made(
        *,
        settings: Settings = Settings(retries=NO_WAITING),  # noqa: B008
        models: Models | None = None,
        environments: Mapping[str, Environment] | None = None,
        store: Store | None = None,
    ) -> AsyncIterator[House]:
        opened = store or Store.open(tmp_path / "test.db")
        try:
            models = models or Models(base_url=provider.url + "/v1", api_key=PROVIDER_KEY, retries=NO_WAITING)
            async with (
                aiohttp.ClientSession() as http,
                Gateway(opened, models, environments=environments or {}, settings=settings) as gateway,
                AsyncExitStack() as listening,
            ):
                url = await listening.enter_async_context(serving(gateway, grace=0.5))
                yield House(gateway, url, http, tmp_path, listening.aclose)
        finally:
            opened.close()

    return made


@pytest.fixture
async def house(serve: MakeHouse) -> AsyncIterator[House]:
    async with serve() as found:
        yield found
