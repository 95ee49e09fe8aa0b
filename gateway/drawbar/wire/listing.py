"""The list of known models, as each dialect has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drawbar.wire.tolerant import dump


def listed(dialect: str, entries: Sequence[Mapping[str, Any]]) -> bytes:
    """All models, from entries of OpenAI's shape."""
    found = [_entry(dialect, entry) for entry in entries]
    if dialect == "gemini":
        return dump({"models": found})
    if dialect == "messages":
        ids = [entry["id"] for entry in found]
        ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
        return dump({"data": found, "has_more": False, **ends})
    return dump({"object": "list", "data": found})


def described(dialect: str, entry: Mapping[str, Any]) -> bytes:
    """One model."""
    return dump(_entry(dialect, entry))


def _entry(dialect: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    name = entry["id"]
    if dialect == "gemini":
        methods = ["generateContent", "streamGenerateContent", "countTokens"]
        return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
    if dialect == "messages":
        return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return dict(entry)
