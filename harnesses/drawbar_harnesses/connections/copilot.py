"""GitHub Copilot CLI: variables alone for the model, a file for the tools."""

from __future__ import annotations

from typing import Any, Final

from drawbar.connection import File, Gate, Setting, Setup
from drawbar_harnesses.connections import SERVER, Described, model_of


def server(url: str) -> dict[str, Any]:
    """An entry of `mcpServers`."""
    return {"type": "http", "url": url, "tools": ["*"]}


def variables(base_url: str, key: str, model: str) -> dict[str, str]:
    """What makes the gateway its provider, in place of GitHub's."""
    return {
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_PROVIDER_WIRE_API": "completions",
        "COPILOT_PROVIDER_BASE_URL": base_url,
        "COPILOT_PROVIDER_API_KEY": key,
        "COPILOT_MODEL": model,
    }


def _setup(gate: Gate) -> Setup:
    files, allowed = [], ""
    if gate.mcp_url is not None:
        entry = server(gate.mcp_url) | gate.headers("${NAME}")
        settings = [Setting(("mcpServers", SERVER), entry)]
        files = [File(user=".copilot/mcp-config.json", moved=("COPILOT_HOME", ".copilot"), settings=settings)]
        allowed = f" --allow-tool {SERVER}"
    return Setup(
        variables=variables(gate.openai_base_url, gate.key, model_of(gate)),
        files=files,
        run="copilot",
        ask=f'copilot{allowed} -p "PROMPT"',
        notes=["It reads its provider from variables alone; without them it is GitHub's Copilot as before."],
    )


CONNECTION: Final = Described("GitHub Copilot CLI", "chat", "2026-07-28", "5 variables, 1 file for tools", _setup)
