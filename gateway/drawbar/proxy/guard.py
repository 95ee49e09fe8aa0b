"""Who may talk to the gateway: host names, origins, keys. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from drawbar.proxy.settings import Settings

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})


def host_refused(headers: dict[bytes, bytes], settings: Settings) -> str | None:
    """Why a request must not be answered although it reached us; None if it may.

    A page in a browser can send requests to a gateway on the same machine: with an `Origin` of its own, or with a
    `Host` of its own after it changed where its name leads (DNS rebinding). Neither is ours.
    """
    if not settings.loopback:
        return None
    host = headers.get(b"host", b"").decode("latin-1")
    if not _ours(host, settings):
        return f"The Host header {host!r} is not a name of this gateway; set allowed_hosts to add it."
    origin = headers.get(b"origin")
    if origin is not None and not _ours(_host_of(origin.decode("latin-1")), settings):
        return "Pages of other sites may not use this gateway."
    return None


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _ours(host: str, settings: Settings) -> bool:
    name = host
    if host.rpartition(":")[2].isdigit() and not host.endswith("]"):
        name = host.rpartition(":")[0]
    name = name.lower()
    return name in _LOOPBACK or name in settings.allowed_hosts


def is_admin(keys: Iterable[str], settings: Settings) -> bool:
    """Whether the control API answers."""
    if settings.admin_key is None:
        return settings.loopback
    return any(hmac.compare_digest(key.encode(), settings.admin_key.encode()) for key in keys)


def may_use(keys: Iterable[str], settings: Settings) -> bool:
    """Whether a client without a session is served."""
    if not settings.keys:
        return settings.loopback
    return any(hmac.compare_digest(key.encode(), known.encode()) for key in keys for known in settings.keys)
