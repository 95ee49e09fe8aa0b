"""opencode: a provider and an MCP server in `opencode.json`; the model is chosen when it is started."""

from __future__ import annotations

from typing import Any, Final

from drawbar.connection import File, Gate, Setting, Setup
from drawbar_harnesses.connections import SERVER, Described, model_of


def provider(base_url: str, key: str, model: str) -> dict[str, Any]:
    """An entry of `provider`."""
    return {
        "npm": "@ai-sdk/openai-compatible",
        "name": SERVER,
        "options": {"baseURL": base_url, "apiKey": key},
        "models": {model: {"name": model, "tool_call": True}},
    }


def server(url: str) -> dict[str, Any]:
    """An entry of `mcp`."""
    return {"type": "remote", "url": url, "enabled": True, "oauth": False}


def _setup(gate: Gate) -> Setup:
    model = model_of(gate)
    key = gate.key if gate.key_variable is None else f"{{env:{gate.key_variable}}}"
    settings = [
        Setting(("$schema",), "https://opencode.ai/config.json", "default"),
        Setting(("provider", SERVER), provider(gate.openai_base_url, key, model)),
    ]
    if gate.mcp_url is not None:
        settings.append(Setting(("mcp", SERVER), server(gate.mcp_url) | gate.headers("{env:NAME}")))
    file = File(
        project="opencode.json",
        user=".config/opencode/opencode.json",
        moved=("XDG_CONFIG_HOME", ".config"),
        variants=["opencode.jsonc"],
        settings=settings,
    )
    name = f"{SERVER}/{model}"
    return Setup(files=[file], run=f"opencode --model {name}", ask=f'opencode run --model {name} "PROMPT"')


CONNECTION: Final = Described("opencode", "chat", "2025-11-25", "1 file", _setup)
