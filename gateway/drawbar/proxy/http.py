"""An upstream that speaks the dialect over HTTP: bytes out, bytes back."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from drawbar.errors import why_unreachable
from drawbar.hiding import shown_url
from drawbar.proxy.prices import cost
from drawbar.proxy.token_server import TokenServer
from drawbar.proxy.upstream import Exchange, Headers, UpstreamError, UpstreamReply

_ANTHROPIC_VERSION: Final = "2023-06-01"
_VERSION: Final = re.compile(r"/v[0-9][a-z0-9]*$")
LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes of one answer, beyond which a provider is taken to be broken."""
_SHORTEST_SECRET: Final = 16
"""Characters below which a key is a placeholder (`EMPTY`, `not-needed`) that may well stand in an answer."""
_BROKEN: Final = (aiohttp.ClientError, TimeoutError, OSError)


class HttpUpstream:
    """One base URL, one client, kept for the process."""

    remembers = True

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        key: Callable[[], str | None] = lambda: None,
        prices: str | None = None,
        streams_usage: bool = True,
        timeout: float = 600.0,
        any_key: bool = False,
        tokens: str | None = None,
    ) -> None:
        """`key` is asked for at each request and may raise `UpstreamError`; `prices` is the prefix in the table of
        prices; `timeout` is in seconds without a byte; `any_key` shows the key in every way that the dialect has, to
        an API of which it is not known which one it reads; `tokens` is the kind of server that it is (`TOKEN_SERVERS`),
        if it can be asked for token ids."""
        self.name = name
        self.streams_usage = streams_usage
        self.tokens = TokenServer(tokens) if tokens is not None else None
        self._shown = shown_url(base_url)
        before, _, self._query = base_url.partition("?")
        self.base_url = before.rstrip("/")
        self._root = _VERSION.sub("", self.base_url)
        self._key = key
        self._any_key = any_key
        self._prices = prices
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=timeout)
        self._client: aiohttp.ClientSession | None = None

    async def send(self, exchange: Exchange) -> UpstreamReply:
        key = exchange.key or self._key()
        headers = {name.decode("latin-1"): value.decode("utf-8", "replace") for name, value in exchange.headers}
        headers["content-type"] = "application/json"
        headers["accept-encoding"] = "identity"
        headers |= credentials(exchange.route.dialect.name, key, everywhere=self._any_key)
        if exchange.route.dialect.name == "messages":
            headers.setdefault("anthropic-version", _ANTHROPIC_VERSION)
        try:
            response = await self._session().request(
                exchange.method,
                self._url(exchange.path),
                data=exchange.body or None,
                headers=headers,
                allow_redirects=False,
            )
        except ValueError as error:
            raise UpstreamError("upstream_unavailable", f"{self._shown} cannot be asked", retry=False) from error
        except _BROKEN as error:
            raise UpstreamError(
                "upstream_unavailable",
                f"{self.name} at {self._shown} could not be reached: {why_unreachable(error)}",
                retry=True,
            ) from error
        return _HttpReply(response, self.name, key)

    async def models(self) -> bytes | None:
        """The answer to `GET /models`; None when there is none."""
        key = self._key()
        headers = {} if key is None else {"authorization": "Bearer " + key}
        try:
            timeout = aiohttp.ClientTimeout(total=5)
            async with self._session().get(self._url("models"), headers=headers, timeout=timeout) as response:
                return await response.read() if response.status == 200 else None
        except _BROKEN:
            return None

    def cost(self, model: str, prompt: int, cached: int, completion: int) -> float | None:
        if self._prices is None:
            return None
        return cost((self._prices + model, model), prompt, cached, completion)

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _url(self, path: str) -> URL:
        url = self._root + path if path.startswith("/") else f"{self.base_url}/{path}"
        if self._query:
            url += ("&" if "?" in path else "?") + self._query
        return URL(url, encoded=True)

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            # aiohttp's own limit is 100 connections, which holds back the 101st request without a word.
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                skip_auto_headers=("User-Agent", "Accept"),
                proxy=_proxy(self.base_url),
                read_bufsize=256 * 1024,
            )
        return self._client


def credentials(dialect: str, key: str | None, *, everywhere: bool = False) -> dict[str, str]:
    """The headers that show a key as this dialect's clients do."""
    if key is None:
        return {}
    bearer = {"authorization": "Bearer " + key}
    if dialect == "messages" and not key.startswith("sk-ant-oat"):  # those are of people's subscriptions
        return {"x-api-key": key, **(bearer if everywhere else {})}
    if dialect == "gemini":
        return {"x-goog-api-key": key, **(bearer if everywhere else {})}
    return bearer


class _HttpReply:
    """An answer of aiohttp's client."""

    def __init__(self, response: aiohttp.ClientResponse, name: str, secret: str | None) -> None:
        self._secret = b"" if secret is None or len(secret) < _SHORTEST_SECRET else secret.encode()
        self._response = response
        self._name = name
        self._left = LARGEST_ANSWER
        self.status = response.status
        self.headers: Headers = [(key.lower(), self._hidden(value)) for key, value in response.raw_headers]
        self.lost: Sequence[str] = ()

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while chunk := await content.readany():
                self._left -= len(chunk)
                if self._left < 0:
                    raise UpstreamError(
                        "upstream_broken", f"{self._name} sent an answer of more than {LARGEST_ANSWER:,} bytes"
                    )
                yield self._hidden(chunk)
        except _BROKEN as error:
            raise self._broken(error) from error

    async def read(self) -> bytes:
        return self._hidden(b"".join([chunk async for chunk in self.chunks()]))

    async def aclose(self) -> None:
        # Only a connection whose answer was read to its end can serve again.
        self._response.close()

    def _hidden(self, data: bytes) -> bytes:
        """Some providers quote the key that they refuse. It is ours: no business of the client's or the record's."""
        return data.replace(self._secret, b"***") if self._secret else data

    def _broken(self, error: Exception) -> UpstreamError:
        said = f"{self._name} broke off its answer: {why_unreachable(error)}"
        return UpstreamError("upstream_broken", said, retry=True, torn=not isinstance(error, TimeoutError))


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for this URL, looked up once (aiohttp would do it for every request)."""
    parts = urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)
