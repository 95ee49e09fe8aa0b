"""A webhook: where messages go, how they are signed, and one try to deliver one.

Signatures are those of Standard Webhooks (standardwebhooks.com): `webhook-id`, `webhook-timestamp` and
`webhook-signature`, an HMAC-SHA256 over `ID.TIMESTAMP.BODY`. The id stays the same when a message is sent again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from drawbar.errors import ConfigurationError, why_unreachable
from drawbar.hiding import hidden
from drawbar.proxy.failures import RetryPolicy, refusal
from drawbar.proxy.upstream import UpstreamError
from drawbar.record.alerts import AlertMessage

RETRIES: Final = RetryPolicy(attempts=30, first_wait=1.0, longest_wait=300.0, longest_retry_after=3600.0)
"""About two hours in all."""
_SAID: Final = 300
"""Bytes that are read of a refusal."""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """What `[webhooks.NAME]` says.

    Raises:
        ConfigurationError: it cannot be meant.
    """

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: str | None = field(default=None, repr=False)
    """What messages are signed with: any text, or `whsec_` and the key in base64."""
    timeout: float = 10.0
    """Seconds that one try may take."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("its url begins with https:// (or http://) and names a host")
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name) or any(character in value for character in "\r\n\0"):
                raise ConfigurationError(f"headers: {name!r} is no header, or its value has several lines")
        self._key()

    @property
    def shown(self) -> str:
        """Where it leads; the path may be a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @property
    def secrets(self) -> list[str]:
        """What must not be shown."""
        parts = urlsplit(self.url)
        known = [self.url, parts.path, *parts.path.split("/"), parts.query, parts.password, self.secret]
        return sorted(filter(None, (*known, *self.headers.values())), key=len, reverse=True)

    def signed(self, id: str, body: bytes, now: float) -> dict[str, str]:
        """The headers of one try."""
        at = str(int(now))
        found = {**self.headers, "content-type": "application/json", "webhook-id": id, "webhook-timestamp": at}
        key = self._key()
        if key is not None:
            mac = hmac.new(key, b".".join((id.encode(), at.encode(), body)), hashlib.sha256).digest()
            found["webhook-signature"] = "v1," + base64.b64encode(mac).decode()
        return found

    def _key(self) -> bytes | None:
        if not self.secret:
            return None
        if not self.secret.startswith("whsec_"):
            return self.secret.encode()
        try:
            return base64.b64decode(self.secret.removeprefix("whsec_"), validate=True)
        except binascii.Error as error:
            raise ConfigurationError("secret: what follows whsec_ is no base64") from error


async def deliver(client: aiohttp.ClientSession, webhook: Webhook, message: AlertMessage) -> None:
    """One try. Any 2xx will do, and nothing of the answer is read; redirects are not followed.

    Raises:
        UpstreamError: it was not taken; it says in what way.
    """
    headers = webhook.signed(message.id, message.body, time.time())
    timeout = aiohttp.ClientTimeout(total=webhook.timeout)
    try:
        request = client.post(webhook.url, data=message.body, headers=headers, timeout=timeout, allow_redirects=False)
        async with request as response:
            if 200 <= response.status < 300:
                response.close()
                return
            said = hidden((await response.content.read(_SAID)).decode("utf-8", "replace"), webhook.secrets)
            given = [(name.lower(), value) for name, value in response.raw_headers]
            response.close()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else why_unreachable(error)
        raise UpstreamError("upstream_unavailable", hidden(why, webhook.secrets), retry=True) from error
    shown = "".join(character for character in " ".join(said.split()) if character.isprintable())
    answered = f"it answered {response.status}" + (f": {shown}" if shown else "")
    raise refusal(response.status, given, b"", answered[:_SAID])
