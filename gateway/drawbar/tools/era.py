"""Which era a request is of, whether it keeps to that era's rules, and how results of that era are dressed. Pure.

The rules of the modern revision are the SDK's own (`mcp.shared.inbound`), imported when the first client of it comes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from anyio import to_thread

from drawbar.tools import protocol
from drawbar.tools.protocol import Json

_INBOUND = "mcp.shared.inbound"

_LIST_TTL_MS = 300_000
"""How long a client may keep a list: ours never change within a session."""

_CACHEABLE = frozenset({"server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list"})


class Refusal(Exception):
    """A request that is not answered by what it asked for: a JSON-RPC error, and the HTTP status that goes with it."""

    def __init__(self, code: int, message: str, status: int = 200, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.data = data


def is_modern(body: Json, headers: Mapping[str, str]) -> bool:
    """By the header; without one, by the envelope. A version that nobody knows is told so in the modern way."""
    version = headers.get("mcp-protocol-version")
    if version is not None:
        return version not in protocol.HANDSHAKE
    params = body.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return isinstance(meta, dict) and protocol.VERSION_KEY in meta


async def check_modern(body: Json, raw_headers: Iterable[tuple[bytes, bytes]], headers: Mapping[str, str]) -> None:
    """The envelope and the headers that must agree with it. Raises `Refusal`."""
    inbound = await _inbound()
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw_headers]
    if (twice := inbound.find_duplicated_routing_header(pairs)) is not None:
        raise Refusal(inbound.HEADER_MISMATCH, f"{twice} header appears more than once", 400)
    verdict = inbound.classify_inbound_request(body, headers=headers)
    if isinstance(verdict, inbound.InboundLadderRejection):
        raise _refusal(inbound, verdict)


async def check_mirrored(schema: Json, body: Json, headers: Mapping[str, str]) -> None:
    """The arguments that a tool wants in headers too must be the same there. Raises `Refusal`."""
    arguments = body["params"].get("arguments")
    if not isinstance(arguments, dict | None) or "x-mcp-header" not in str(schema):
        return
    inbound = await _inbound()
    if (rejection := inbound.validate_mcp_param_headers(schema, arguments or {}, headers)) is not None:
        raise _refusal(inbound, rejection)


def dress(method: str, result: Json, server: Json) -> Json:
    """A result with what the modern revision wants in it."""
    dressed: dict[str, Any] = {**result, "resultType": "complete"}
    dressed["_meta"] = {**result.get("_meta", {}), protocol.SERVER_KEY: server}
    if method in _CACHEABLE:
        dressed["ttlMs"], dressed["cacheScope"] = _LIST_TTL_MS, "private"
    return dressed


async def _inbound() -> Any:
    """The SDK's validators. Importing them takes most of a second: not on the event loop."""
    if _INBOUND not in sys.modules:
        await to_thread.run_sync(import_module, _INBOUND)
    return import_module(_INBOUND)


def _refusal(inbound: Any, rejection: Any) -> Refusal:
    status = inbound.ERROR_CODE_HTTP_STATUS.get(rejection.code, 400)
    return Refusal(rejection.code, rejection.message, status, rejection.data)
