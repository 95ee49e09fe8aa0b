"""Which headers pass through the gateway, and which end there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from drawbar.ids import digest
from drawbar.proxy.client import Client
from drawbar.proxy.upstream import Headers
from drawbar.wire.labels import HEADER
from drawbar.wire.route import key_in

_HOP: Final = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer trailers transfer-encoding upgrade "
    b"proxy-connection content-length content-encoding".split()
)
_NOT_UPSTREAM: Final = _HOP | frozenset(
    b"host authorization x-api-key x-goog-api-key api-key cookie accept-encoding content-type expect origin referer "
    b"forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip".split()
)
_NOT_BACK: Final = _HOP | frozenset(b"set-cookie date server alt-svc strict-transport-security".split())

NO_RETRY: Final = (b"x-should-retry", b"false")
"""OpenAI's SDK would ask again after 409 and 5xx; where that is pointless, this tells it so."""


def status_of_end(headers: Mapping[bytes, bytes]) -> int:
    """The HTTP status that tells a client that its session has ended: 409, unless that would make it ask again.

    The AI SDK takes a 409 for a conflict that passes, whatever the headers say. Agents that are built on it (opencode,
    Cline) would ask until their time is up; at 403 they stop.
    """
    products = headers.get(b"user-agent", b"").split()
    return 403 if any(product.startswith(b"ai-sdk/") for product in products) else 409


def upstream_headers(headers: Headers) -> Headers:
    """Of a client's headers, those that go to the provider: no credentials, nothing of the connection."""
    return [pair for pair in headers if pair[0] not in _NOT_UPSTREAM and not pair[0].startswith(HEADER)]


def client_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Of a provider's headers, those that go to the client."""
    return [pair for pair in headers if pair[0] not in _NOT_BACK]


def client_keys(client: Client) -> list[str]:
    """The API keys that a request carries, in every place where SDKs put one."""
    headers = client.headers
    found = []
    authorization = headers.get(b"authorization")
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        found.append(authorization[7:].strip().decode("latin-1"))
    found += [headers[name].decode("latin-1") for name in (b"x-api-key", b"x-goog-api-key") if name in headers]
    if (key := key_in(client.query)) is not None:
        found.append(key)
    return found


def scope_of(client: Client) -> bytes:
    """What tells this client from those with other keys, where requests name no session."""
    return digest("\0".join(client_keys(client)).encode())


def session_key(keys: list[str], prefix: str | None, headers: dict[bytes, bytes]) -> str | None:
    """The session key that a request names: by API key, else by URL prefix, else by header."""
    for key in keys:
        if key.startswith("dbk_"):
            return key
    if prefix is not None:
        return prefix
    named = headers.get(b"x-drawbar-session")
    return named.decode("latin-1") if named is not None else None
