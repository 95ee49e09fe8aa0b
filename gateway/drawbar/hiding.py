"""What must be neither shown nor recorded: keys in URLs, and keys that somebody quotes back at us in an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

MASK: Final = "***"

_NAMES: Final = re.compile("KEY|TOKEN|SECRET|PASS|AUTH|CREDENTIAL|COOKIE|DSN", re.IGNORECASE)
"""What the names of variables and headers that hold a secret have in them."""
_SHORTEST: Final = 6
"""Characters below which a value is a placeholder (`EMPTY`, `none`): hiding it would spoil texts for nothing."""


def shown_url(url: str) -> str:
    """Scheme, host and path: a query or a user part may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def hidden(text: str, secrets: Iterable[str]) -> str:
    """The text with these secrets masked."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return text


def secret_values(named: Mapping[str, str]) -> list[str]:
    """The secrets among environment variables or headers, going by their names; the longest first.

    Of a value like `Bearer abc` the last word too, for whoever quotes it may leave out the first.
    """
    values = [value for name, value in named.items() if _NAMES.search(name)]
    return sorted({part for value in values for part in (value, value.rpartition(" ")[2])}, key=len, reverse=True)
