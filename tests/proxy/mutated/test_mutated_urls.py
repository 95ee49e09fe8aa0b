"""Odd URLs, headers and encodings, with an upstream over HTTP: refused or passed on, and never our failure."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp import web
from tests.proxy.mutated.in_memory import ask
from tests.proxy.mutated.mutations import MEGABYTE, answers

from drawbar.gateway import Gateway
from drawbar.proxy.client import JSON
from drawbar.proxy.models import Models
from drawbar.record.store import Store
from drawbar.sessions import SessionSpec
from drawbar.wire import DIALECTS
from drawbar.wire.route import read_route

if TYPE_CHECKING:
    import logging

BODIES: Final = {
    "chat": b'{"model":"m","messages":[{"role":"user","content":"hi"}]}',
    "responses": b'{"model":"m","input":"hi"}',
    "messages": b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}',
    "gemini": b'{"contents":[{"parts":[{"text":"hi"}]}]}',
}
PATHS: Final = (
    "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/m:generateContent",
    "/v1beta/models/m:streamGenerateContent", "/v1/models/a/b:generateContent", "/v1/messages/count_tokens",
    "/v1beta/models/m:countTokens", "/v1/embeddings", "/v1/models", "/v1beta/models/m", "/v1/responses/input_tokens",
    "/v1beta/models/m:embedContent", "/mcp", "/v1/files", "/api/hello", "/healthz",
)  # fmt: skip
NAMES: Final = (
    "", "..", "a/../../b", "%2e%2e", "m:generateContent", ":", "m?x=1", "m#f", "m m", "\u00fc\u6f22", "\ufffd", "m\x00",
    "m\r\nx: y", "models/m", "m" * 20_000, "{m}", "m@1", "m;v=1", "\\", "%", "%zz", "//", "tunedModels/x", "\u202e",
)  # fmt: skip
QUERIES: Final = (
    "", "alt=sse", "alt=json", "$alt=sse", "alt=sse&alt=json", "key=abc", "key=&key=", "key=%zz", "beta=true", "=&=",
    "&&&", "a=%ff%fe", "\xff", "x=" + "y" * 20_000, "key=dbk_none", "a b", "a;b", "#", "?" * 9, "alt=sse&key=a%0d%0ab",
)  # fmt: skip
VALUES: Final = (
    b"", b" ", b"0", b"-1", b"1", b"99999999999999999999999", b"1e9", b"abc", b"identity", b"gzip", b"gzip, br",
    b"\xff\xfe", b"\xc3\xa9", b"identity;q=0", b"chunked", b"{}", b"null", b"Bearer ", b"Bearer dbk_none",
    b"Basic Og==", b"x" * 6_000, b"\t", b"true", b"text/event-stream", b"application/json; charset=utf-16",
    b"2026-99-99", b"a, b, c", b'"',
)  # fmt: skip
HEADERS: Final = (
    b"content-encoding", b"content-length", b"content-type", b"x-stainless-retry-count", b"accept", b"anthropic-beta",
    b"anthropic-version", b"x-should-retry", b"expect", b"connection", b"transfer-encoding", b"te", b"cookie", b"range",
    b"x-claude-code-session-id", b"session-id", b"thread-id", b"x-session-id", b"user-agent", b"x-interaction-type",
    b"accept-encoding", b"openai-organization", b"x-api-key", b"x-goog-api-key", b"traceparent", b"x-unknown",
)  # fmt: skip
FEW_AND_MANY: Final = [150, pytest.param(5_000, marks=pytest.mark.slow)]


@pytest.fixture
async def provider() -> AsyncIterator[str]:
    """The URL of an upstream that answers every request as its path asks."""

    async def answer(request: web.Request) -> web.Response:
        route = read_route(request.path, "")
        body = answers(route.dialect.name if route is not None else "chat")[0]
        return web.Response(body=body, content_type="application/json")

    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(
        application, access_log=None, shutdown_timeout=0.1, max_line_size=1 << 20, max_field_size=1 << 20
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def request(rng: random.Random) -> dict[str, Any]:
    """A request that is odd in a way or two."""
    path, query, headers = rng.choice(PATHS), "", []
    if rng.random() < 0.5:
        query = rng.choice(QUERIES)
    if rng.random() < 0.4:
        path = path.replace("/m", "/" + rng.choice(NAMES), 1)
    if rng.random() < 0.2:
        at = rng.randrange(1, len(path) + 1)
        path = path[:at] + rng.choice(NAMES) + path[at:]
    if rng.random() < 0.6:
        headers = [(rng.choice(HEADERS), rng.choice(VALUES)) for _ in range(rng.choice((1, 1, 3, 200)))]
    method = "POST" if rng.random() < 0.9 else rng.choice(("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"))
    return {"path": path, "query": query, "headers": headers, "method": method}


@pytest.mark.parametrize("count", FEW_AND_MANY)
async def test_no_url_and_no_header_is_a_failure_of_ours_or_goes_unrecorded(
    provider: str, errors: list[logging.LogRecord], tmp_path: Path, count: int
) -> None:
    models = Models(base_url=provider + "/v1", api_key="sk-something-secret", dialects=list(DIALECTS))
    async with Gateway(Store.open(tmp_path / "urls.db"), models) as gateway:
        for start in range(0, count, 25):
            session = await gateway.open(SessionSpec())
            rows = 0
            asked = [request(random.Random(at)) for at in range(start, start + 25)]
            for at, one in enumerate(asked, start=start):
                route = read_route(one["path"], one["query"])
                rows += route is not None and route.kind == "turn" and one["method"] == "POST"
                body = BODIES[route.dialect.name if route is not None else "chat"]
                body = body[:-1] + b',"x_number":%d}' % at  # no two are retries of each other
                one |= {"path": f"/s/{session.key}{one['path']}", "body": body}
            own = (b"authorization", f"Bearer {session.key}".encode())
            heard = await asyncio.gather(*(ask(gateway, **{**one, "headers": [*one["headers"], own]}) for one in asked))
            for at, (one, said) in enumerate(zip(asked, heard, strict=True), start=start):
                assert said.status < 500, (at, said.status, said.body[:300], str(one)[:500])
            await gateway.end(session.id, stop="completed")
            calls = gateway.store.trajectory(session.id).calls
            assert (len(calls), {call.ended is None for call in calls} - {False}) == (rows, set()), start
            assert not errors, (start, errors[0].getMessage())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"zstd", b"identity, gzip", b"x" * 10_000, b"\xff"])
async def test_a_body_that_is_encoded_is_not_unpacked(
    provider: str, tmp_path: Path, path: str, encoding: bytes
) -> None:
    models = Models(base_url=provider + "/v1", dialects=list(DIALECTS))
    async with Gateway(Store.open(tmp_path / "encoded.db"), models) as gateway:
        session = await gateway.open(SessionSpec())
        bomb = b"\x1f\x8b\x08" + b"\x00" * MEGABYTE
        headers = [(b"content-encoding", encoding), JSON]
        said = await ask(gateway, f"/s/{session.key}{path}", bomb, headers=headers)
        assert said.status == 415
        await gateway.end(session.id, stop="completed")
        (call,) = gateway.store.trajectory(session.id).calls
        assert (call.status, call.cause, call.http_status) == ("refused", "bad_request", 415)
