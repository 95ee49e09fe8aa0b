"""Gemini CLI: two variables, which its `.env` can hold, and its settings for the tools."""

from __future__ import annotations

from typing import Any, Final

from drawbar.connection import File, Gate, Setting, Setup
from drawbar_harnesses.connections import ALLOWED, SERVER, Described

BY_KEY: Final = "gemini-api-key"
"""How it signs in where the base URL is to count: with a Google account it asks Google."""
_MOVED: Final = ("GEMINI_CLI_HOME", "")


def server(url: str) -> dict[str, Any]:
    """An entry of `mcpServers`."""
    return {"httpUrl": url, "trust": True}


def _setup(gate: Gate) -> Setup:
    settings = [Setting(("security", "auth", "selectedType"), BY_KEY)]
    if gate.mcp_url is not None:
        settings.append(Setting(("mcpServers", SERVER), server(gate.mcp_url) | gate.headers("${NAME}")))
    kept = [Setting(("GOOGLE_GEMINI_BASE_URL",), gate.base_url)]
    if gate.key_variable is None:
        kept.append(Setting(("GEMINI_API_KEY",), gate.key, "default"))
    model = "" if gate.model is None else f" --model {gate.model}"
    return Setup(
        variables={"GOOGLE_GEMINI_BASE_URL": gate.base_url, "GEMINI_API_KEY": gate.key},
        kept=[File(user=".gemini/.env", moved=_MOVED, settings=kept)],
        unkept=[] if gate.key_variable is None else ["GEMINI_API_KEY"],
        files=[File(user=".gemini/settings.json", moved=_MOVED, settings=settings)],
        run=f"gemini{model}",
        ask=f'gemini --skip-trust{model} -p "PROMPT"',
        notes=[
            "It reads its .env in folders that it trusts, and the nearest alone: a project's own .env hides it.",
            *([] if gate.mcp_url is None else [ALLOWED]),
        ],
    )


CONNECTION: Final = Described("Gemini CLI", "gemini", "2025-06-18", "2 variables and 1 file", _setup, needs_model=False)
