"""Qwen Code: three variables, which its settings can hold, and the same settings for the tools."""

from __future__ import annotations

from typing import Any, Final

from drawbar.connection import File, Gate, Setting, Setup
from drawbar_harnesses.connections import ALLOWED, SERVER, Described, model_of


def server(url: str) -> dict[str, Any]:
    """An entry of `mcpServers`."""
    return {"httpUrl": url, "trust": True}


def variables(base_url: str, key: str, model: str) -> dict[str, str]:
    """What it reads of its environment."""
    return {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": key, "OPENAI_MODEL": model}


def _setup(gate: Gate) -> Setup:
    model = model_of(gate)
    named = variables(gate.openai_base_url, gate.key, model)
    kept = [Setting(("env", name), value) for name, value in named.items()]
    tools = []
    if gate.mcp_url is not None:
        tools.append(_settings([Setting(("mcpServers", SERVER), server(gate.mcp_url) | gate.headers("${NAME}"))]))
    command = f"qwen --auth-type openai --model {model}"
    return Setup(
        variables=named,
        kept=[_settings(kept)],
        files=tools,
        run=command,
        ask=f'{command} -p "PROMPT"',
        notes=[] if gate.mcp_url is None else [ALLOWED],
    )


def _settings(settings: list[Setting]) -> File:
    return File(user=".qwen/settings.json", moved=("QWEN_HOME", ".qwen"), settings=settings)


CONNECTION: Final = Described("Qwen Code", "chat", "2025-11-25", "3 variables, 1 file for tools", _setup)
