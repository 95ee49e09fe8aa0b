"""What a provider says went wrong: read from an error body of any dialect, whoever wrote it."""

from __future__ import annotations

from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import load


def said(body: bytes) -> str:
    """What the body says, in one line; of one that cannot be read, its beginning."""
    try:
        value = load(body)
    except BadBody:
        return body[:500].decode("utf-8", "replace").strip()
    error = value.get("error", value) if isinstance(value, dict) else value
    words = error.get("message", error.get("detail")) if isinstance(error, dict) else error
    return (words if isinstance(words, str) else body.decode("utf-8", "replace").strip())[:2000]
