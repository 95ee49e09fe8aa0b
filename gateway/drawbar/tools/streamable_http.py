"""A tool server at a URL (MCP's streamable HTTP transport), of either era.

Every request is an HTTP exchange of its own: one that is refused, reset or cancelled is nobody else's trouble. No
stream is kept open between requests, so the number of sessions is bounded by nothing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from aiohttp import ClientError, ClientSession

from drawbar.errors import ToolServerError, why_unreachable
from drawbar.hiding import hidden, secret_values, shown_url
from drawbar.server import UrlServer
from drawbar.tools import protocol
from drawbar.tools.connection import OnProgress, RefusedByServer, ToolRequest
from drawbar.tools.exchange_http import HttpExchange, HttpRefusal
from drawbar.tools.listing import list_all
from drawbar.tools.protocol import CLIENT, Json

_CONNECT_TIMEOUT = 30.0
"""Seconds for the handshake."""
_PARTING_TIMEOUT = 2.0
"""Seconds for what is only polite: cancelling, ending the server's session."""


class StreamableHttp:
    """A connection to a URL. The `ClientSession` is the caller's and outlives it."""

    def __init__(self, name: str, spec: UrlServer, http: ClientSession) -> None:
        self._name = name
        self._spec = spec
        self._http = http
        self._secrets = secret_values(spec.headers)
        self._version: str | None = None
        self._session_id: str | None = None
        self._next = 0
        self._greeting = asyncio.Lock()
        self._mirrored: dict[str, Mapping[tuple[str, ...], str]] = {}
        self._parting: set[asyncio.Task[None]] = set()
        self.instructions: str | None = None

    async def open(self) -> None:
        """Find out which revision it speaks, and shake hands if that is one with a handshake."""
        try:
            async with self._greeting, asyncio.timeout(_CONNECT_TIMEOUT):
                await self._greet()
        except TimeoutError as error:
            raise self._broken(f"did not answer within {_CONNECT_TIMEOUT:.0f} s") from error
        except RefusedByServer as refused:
            raise self._broken(f"refused to begin: {refused}") from refused

    async def tools(self) -> list[Json]:
        """Sorted by name: few servers promise an order."""
        found = await list_all(lambda params: self._ask("tools/list", params))
        for tool in found:
            if self._modern and (mirrored := _mirrored_arguments(tool)):
                self._mirrored[tool["name"]] = mirrored
        return sorted(found, key=lambda tool: str(tool["name"]))

    async def call(self, request: ToolRequest) -> Json:
        """Sent once; sent again only where the server says that it no longer knows our session, and so did nothing."""
        params: Json = {"name": request.tool, "arguments": request.arguments, "_meta": dict(request.meta)}
        return await self._ask("tools/call", params, request.on_progress)

    async def close(self) -> None:
        """End the server's session, if it keeps one."""
        if self._session_id is not None:
            with suppress(ClientError, OSError, TimeoutError):
                async with asyncio.timeout(_PARTING_TIMEOUT):
                    await self._http.delete(self._spec.url, headers=self._headers())
        self._session_id = None
        if self._parting:
            await asyncio.wait(self._parting)

    @property
    def _modern(self) -> bool:
        return self._version == protocol.MODERN

    async def _greet(self) -> None:
        self._version, self._session_id = protocol.MODERN, None
        try:
            hello = await self._send("server/discover", {})
            if protocol.MODERN in hello.get("supportedVersions", ()):
                self.instructions = hello.get("instructions")
                return
        except (RefusedByServer, ToolServerError):
            pass  # not an answer that a modern server gives; one that cannot be reached will not answer the next either
        self._version = None
        exchange, hello = await self._exchange("initialize", protocol.initialize_params(CLIENT))
        self._session_id = exchange.session_id
        version = hello.get("protocolVersion")
        if version not in protocol.HANDSHAKE:
            raise self._broken(
                f"speaks only {version!r} of the protocol; this gateway knows {', '.join(protocol.HANDSHAKE)}"
            )
        self._version = version
        self.instructions = hello.get("instructions")
        await self._tell(protocol.notification("notifications/initialized"))

    async def _ask(self, method: str, params: Json, on_progress: OnProgress | None = None) -> Json:
        session = self._session_id
        try:
            return await self._send(method, params, on_progress)
        except HttpRefusal as refusal:
            if refusal.status != 404 or session is None:
                raise
        async with self._greeting:
            if self._session_id == session:
                await self._greet()
        return await self._send(method, params, on_progress)

    async def _send(self, method: str, params: Json, on_progress: OnProgress | None = None) -> Json:
        return (await self._exchange(method, params, on_progress))[1]

    async def _exchange(
        self, method: str, params: Json, on_progress: OnProgress | None = None
    ) -> tuple[HttpExchange, Json]:
        self._next += 1
        meta = dict(params.get("_meta", ()))
        if self._modern:
            meta.update(protocol.envelope(CLIENT))
        if on_progress is not None:
            meta["progressToken"] = self._next
        message = protocol.request(self._next, method, {**params, "_meta": meta} if meta else params)
        exchange = HttpExchange(self._http, self._spec.url, self._headers(method, params), on_progress)
        try:
            return exchange, await exchange.run(message)
        except (ClientError, OSError) as error:
            raise self._broken(f"could not be reached: {why_unreachable(error)}") from error
        except ToolServerError as error:
            raise self._broken(str(error)) from error
        except RefusedByServer as refused:
            refused.message = hidden(refused.message, self._secrets)  # some quote the key that they do not like
            raise
        except asyncio.CancelledError:
            self._cancel(message)
            raise

    def _cancel(self, message: Json) -> None:
        """In the handshake era a closed connection means nothing: say it. In the modern one closing it was enough."""
        if self._version is not None and not self._modern:
            said = protocol.notification("notifications/cancelled", {"requestId": message["id"]})
            task = asyncio.create_task(self._tell(said))
            self._parting.add(task)
            task.add_done_callback(self._parting.discard)

    async def _tell(self, message: Json) -> None:
        with suppress(ClientError, OSError, TimeoutError, ToolServerError, RefusedByServer):
            async with asyncio.timeout(_PARTING_TIMEOUT):
                await HttpExchange(self._http, self._spec.url, self._headers()).tell(message)

    def _headers(self, method: str | None = None, params: Json | None = None) -> dict[str, str]:
        headers = dict(self._spec.headers)
        if self._session_id is not None:
            headers["Mcp-Session-Id"] = self._session_id
        if self._version is not None:
            headers["MCP-Protocol-Version"] = self._version
        if self._modern and method is not None:
            headers["Mcp-Method"] = method
            name = (params or {}).get("name")
            if method == "tools/call" and isinstance(name, str):
                headers.update(_call_headers(name, (params or {}).get("arguments", {}), self._mirrored.get(name)))
        return headers

    def _broken(self, how: str) -> ToolServerError:
        said = hidden(how, self._secrets)
        return ToolServerError(f"Tool server {self._name!r} at {shown_url(self._spec.url)} {said}.")


def _mirrored_arguments(tool: Json) -> Mapping[tuple[str, ...], str]:
    """Which arguments the server wants in headers too (`x-mcp-header`)."""
    if "x-mcp-header" not in str(tool.get("inputSchema")):
        return {}
    from mcp.shared.inbound import x_mcp_header_map

    return x_mcp_header_map(tool.get("inputSchema"))


def _call_headers(name: str, arguments: Json, mirrored: Mapping[tuple[str, ...], str] | None) -> dict[str, str]:
    headers = {"Mcp-Name": name}
    if mirrored or not (name.isascii() and name.isprintable()) or name != name.strip():
        from mcp.shared.inbound import encode_header_value, mcp_param_headers

        headers = {"Mcp-Name": encode_header_value(name), **mcp_param_headers(mirrored or {}, arguments)}
    return headers
