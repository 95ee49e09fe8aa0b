"""Codex: a profile of its own, so that everything else of the user's configuration stays as it is."""

from __future__ import annotations

from typing import Any, Final

from drawbar.connection import File, Gate, Setting, Setup
from drawbar_harnesses.connections import ALLOWED, SERVER, Described


def provider(base_url: str) -> dict[str, Any]:
    """An entry of `model_providers`."""
    return {"name": SERVER, "base_url": base_url, "wire_api": "responses"}


def server(url: str) -> dict[str, Any]:
    """An entry of `mcp_servers`. Without the approval, `codex exec` refuses every call."""
    return {"url": url, "default_tools_approval_mode": "approve"}


def _setup(gate: Gate) -> Setup:
    key = {} if gate.key_variable is None else {"env_key": gate.key_variable}
    settings = [Setting(("model_provider",), SERVER)]
    if gate.model is not None:
        settings.append(Setting(("model",), gate.model))
    settings.append(Setting(("model_providers", SERVER), provider(gate.openai_base_url) | key))
    if gate.mcp_url is not None:
        bearer = {} if gate.key_variable is None else {"bearer_token_env_var": gate.key_variable}
        settings.append(Setting(("mcp_servers", SERVER), server(gate.mcp_url) | bearer))
    return Setup(
        files=[File(user=f".codex/{SERVER}.config.toml", moved=("CODEX_HOME", ".codex"), settings=settings)],
        run=f"codex --profile {SERVER}",
        ask=f'codex exec --profile {SERVER} --skip-git-repo-check "PROMPT"',
        notes=[
            f"`codex` without `--profile {SERVER}` works as before.",
            *([] if gate.mcp_url is None else [ALLOWED]),
        ],
    )


CONNECTION: Final = Described("Codex", "responses", "2025-06-18", "1 file", _setup, needs_model=False)
