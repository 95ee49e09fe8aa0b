"""What a request must pass before it is read as MCP: where it comes from, and how large it is."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

BODY_PATIENCE = 60.0
"""Seconds for which the next part of a request's body is waited for."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Rejected(Exception):
    """An HTTP status and a sentence, in place of an answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check_origin(scope: Scope, headers: Mapping[str, str], allowed: Collection[str]) -> None:
    """Keep web pages out (DNS rebinding): on a loopback address only loopback and allowed names are answered.

    Raises:
        Rejected: 421 for a foreign Host, 403 for a foreign Origin.
    """
    host = _hostname("//" + headers.get("host", ""))
    server = scope.get("server")
    if server is not None and server[0] in LOOPBACK and host not in LOOPBACK and host not in allowed:
        raise Rejected(421, f"This gateway does not answer for the host {host!r}. Allow it by name if that is meant.")
    origin = headers.get("origin")
    if origin is not None and (name := _hostname(origin)) not in LOOPBACK and name != host and name not in allowed:
        raise Rejected(403, "Requests from this web origin are not answered.")


async def read_body(headers: Mapping[str, str], receive: Receive, limit: int) -> bytes | None:
    """The whole body; None when the client left before its end.

    Raises:
        Rejected: 413 beyond the limit, 408 when nothing of it comes for too long.
    """
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    try:
        return await _read(receive, limit)
    except TimeoutError:
        raise Rejected(408, f"Nothing of the request's body came for {BODY_PATIENCE:g} s.") from None


async def _read(receive: Receive, limit: int) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    async with asyncio.timeout(BODY_PATIENCE) as patience:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            parts.append(chunk)
            if not message.get("more_body"):
                return b"".join(parts) if len(parts) > 1 else chunk
            patience.reschedule(asyncio.get_running_loop().time() + BODY_PATIENCE)


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _too_large(limit: int) -> Rejected:
    return Rejected(413, f"The request's body is larger than the {limit:,} bytes that this endpoint takes.")
