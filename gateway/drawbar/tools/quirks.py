"""What single clients need of a result beside what the protocol says, by the name that they give themselves. Pure."""

from __future__ import annotations

from typing import Any, Final

import orjson

from drawbar.tools.protocol import Json

GEMINI: Final = "gemini-cli-mcp-client"
"""Gemini CLI (0.61) reads a text that is JSON as structured content, and then refuses what is not an object: a tool
that says `7` fails. It does so only where there is no structured content, and does not show it to its model."""


def suited(result: Json, client: str | None) -> Json:
    """The result as this client can read it. What it shows to its model stays the same."""
    if client != GEMINI or "structuredContent" in result:
        return result
    first: Json = next(iter(result.get("content") or ()), {})
    value = _read(first.get("text")) if first.get("type") == "text" else {}
    return result if isinstance(value, dict) else {**result, "structuredContent": {"result": value}}


def _read(text: Any) -> Any:
    """The value of a text that is JSON; an empty object for any other."""
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return {}
