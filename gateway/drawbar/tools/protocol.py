"""The words of the Model Context Protocol, as both ends of the tool side need them. Pure, and without the SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from drawbar import __version__

MODERN: Final = "2026-07-28"
"""The revision without a handshake: each request carries its own envelope."""
HANDSHAKE: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The revisions that begin with `initialize`, oldest first."""

ENVELOPE: Final = "io.modelcontextprotocol/"
"""Prefix of the `_meta` keys that belong to the protocol itself."""
VERSION_KEY: Final = ENVELOPE + "protocolVersion"
CAPABILITIES_KEY: Final = ENVELOPE + "clientCapabilities"
CLIENT_KEY: Final = ENVELOPE + "clientInfo"
SERVER_KEY: Final = ENVELOPE + "serverInfo"

OURS: Final = "dev.drawbar/"
"""Prefix of our own `_meta` keys. None of them is taken from an agent, and none is shown to one."""
REWARD_KEY: Final = OURS + "reward"
"""A server may put a step reward under it in a result's `_meta`: a number, or an object with one under `value`."""
SESSION_KEY: Final = OURS + "session"
"""Our session's id, in the `_meta` of every call to a server: what a shared server keys its state by."""
CUT_KEY: Final = OURS + "cut"
"""In the `_meta` of a recorded result that was cut: `{"bytes": its size before}`."""
CASSETTE_KEY: Final = OURS + "cassette"
"""In the `_meta` of a recorded result that a cassette gave although it is not of quite the same call."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INTERNAL_ERROR: Final = -32603
UNSUPPORTED_VERSION: Final = -32022

CLIENT: Final = {"name": "drawbar", "version": __version__}
"""How we introduce ourselves to servers."""

Json: TypeAlias = dict[str, Any]
"""A JSON object."""


def request(id: int | str, method: str, params: Mapping[str, Any] | None = None) -> Json:
    """A JSON-RPC request."""
    message: Json = {"jsonrpc": "2.0", "id": id, "method": method}
    if params is not None:
        message["params"] = params
    return message


def notification(method: str, params: Mapping[str, Any] | None = None) -> Json:
    """A JSON-RPC notification."""
    message: Json = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        message["params"] = params
    return message


def result(id: object, value: object) -> Json:
    """A JSON-RPC response that holds a result."""
    return {"jsonrpc": "2.0", "id": id, "result": value}


def error(id: object, code: int, message: str, data: object = None) -> Json:
    """A JSON-RPC response that holds an error."""
    body: Json = {"code": code, "message": message}
    if data is not None:
        body["data"] = data
    return {"jsonrpc": "2.0", "id": id, "error": body}


def error_result(text: str) -> Json:
    """A tool result that tells the model what went wrong, so that it can do something else."""
    return {"content": [{"type": "text", "text": text}], "isError": True}


def envelope(client: Mapping[str, Any]) -> Json:
    """The `_meta` that a request of the modern revision carries. We offer servers no sampling, elicitation or roots."""
    return {VERSION_KEY: MODERN, CAPABILITIES_KEY: {}, CLIENT_KEY: client}


def initialize_params(client: Mapping[str, Any]) -> Json:
    """What we say in a handshake."""
    return {"protocolVersion": HANDSHAKE[-1], "capabilities": {}, "clientInfo": client}


def as_id(value: object) -> int | str | None:
    """A request id, or None for what cannot be one (`True` would pass for 1)."""
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None
