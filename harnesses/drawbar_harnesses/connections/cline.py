"""Cline: its OpenAI-compatible provider, and its MCP settings. It keeps keys in these files, in plain text."""

from __future__ import annotations

from typing import Any, Final

from drawbar.connection import File, Gate, Setting, Setup
from drawbar_harnesses.connections import SERVER, Described, model_of

PROVIDER: Final = "openai-compatible"
_MOVED: Final = ("CLINE_DATA_DIR", ".cline/data")


def provider(base_url: str, key: str | None, model: str) -> dict[str, Any]:
    """An entry of `providers`; without a key it is told one when it is started."""
    settings = {"provider": PROVIDER, "apiKey": key, "model": model, "baseUrl": base_url}
    given = {name: value for name, value in settings.items() if value is not None}
    return {"settings": given, "updatedAt": "2026-01-01T00:00:00.000Z", "tokenSource": "manual"}


def server(url: str) -> dict[str, Any]:
    """An entry of `mcpServers`."""
    return {"transport": {"type": "streamableHttp", "url": url}}


def _setup(gate: Gate) -> Setup:
    model = model_of(gate)
    key = gate.key if gate.key_variable is None else None
    files = [
        File(
            user=".cline/data/settings/providers.json",
            moved=_MOVED,
            settings=[
                Setting(("version",), 1, "default"),
                Setting(("lastUsedProvider",), PROVIDER, "default"),
                Setting(("modes",), {}, "default"),
                Setting(("providers", PROVIDER), provider(gate.openai_base_url, key, model)),
            ],
        )
    ]
    once = []
    if gate.mcp_url is not None and key is not None:
        settings = [Setting(("mcpServers", SERVER), server(gate.mcp_url))]
        files.append(File(user=".cline/data/settings/cline_mcp_settings.json", moved=_MOVED, settings=settings))
    elif gate.mcp_url is not None:
        header = f'--header "Authorization: Bearer {gate.key}"'
        once.append(f"cline mcp add {SERVER} {gate.mcp_url} --transport http {header} --yes")
    shown = "" if key is not None else f' --key "{gate.key}"'
    command = f"cline --provider {PROVIDER} --model {model}{shown}"
    return Setup(
        files=files,
        once=once,
        run=f"{command} --tui",
        ask=f'{command} "PROMPT"',
        notes=[
            "Cline keeps a daemon running after it ends: that is its way.",
            *([] if key is not None else ["Cline keeps the key that it is shown in its own files, in plain text."]),
        ],
    )


CONNECTION: Final = Described("Cline", "chat", "2025-11-25", "1 file, another for tools", _setup)
