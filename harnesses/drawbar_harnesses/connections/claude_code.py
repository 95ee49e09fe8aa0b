"""Claude Code: variables, which its settings can hold, and `.mcp.json` for the tools."""

from __future__ import annotations

from typing import Any, Final

from drawbar.connection import File, Gate, Setting, Setup
from drawbar_harnesses.connections import ALLOWED, SERVER, Described


def server(url: str) -> dict[str, Any]:
    """An entry of `mcpServers`."""
    return {"type": "http", "url": url}


def models(model: str) -> dict[str, str]:
    """The variables that send every call of it, its small ones and its sub-agents' too, to one model."""
    named = {f"ANTHROPIC_DEFAULT_{family}_MODEL": model for family in ("HAIKU", "SONNET", "OPUS")}
    return named | {"ANTHROPIC_SMALL_FAST_MODEL": model, "CLAUDE_CODE_SUBAGENT_MODEL": model}


def _setup(gate: Gate) -> Setup:
    named = {} if gate.model is None else {"ANTHROPIC_MODEL": gate.model} | models(gate.model)
    variables = {"ANTHROPIC_BASE_URL": gate.base_url, "ANTHROPIC_AUTH_TOKEN": gate.key, **named}
    kept = [Setting(("env", name), value) for name, value in variables.items() if name != "ANTHROPIC_AUTH_TOKEN"]
    if gate.key_variable is None:
        kept.append(Setting(("env", "ANTHROPIC_AUTH_TOKEN"), gate.key, "default"))
    else:
        kept.append(Setting(("apiKeyHelper",), f"printenv {gate.key_variable}"))
    return Setup(
        variables=variables,
        kept=[_settings(kept)],
        files=_tools(gate),
        run="claude",
        ask='claude -p "PROMPT"',
        notes=[] if gate.mcp_url is None else [ALLOWED],
    )


def _tools(gate: Gate) -> list[File]:
    if gate.mcp_url is None:
        return []
    entry = server(gate.mcp_url) | gate.headers("${NAME}")
    return [
        File(
            project=".mcp.json",
            user=".claude.json",
            moved=("CLAUDE_CONFIG_DIR", ""),
            settings=[Setting(("mcpServers", SERVER), entry)],
        ),
        _settings(
            [
                Setting(("enabledMcpjsonServers",), SERVER, "add"),
                Setting(("permissions", "allow"), f"mcp__{SERVER}", "add"),
            ]
        ),
    ]


def _settings(settings: list[Setting]) -> File:
    return File(
        project=".claude/settings.local.json",
        user=".claude/settings.json",
        moved=("CLAUDE_CONFIG_DIR", ".claude"),
        settings=settings,
    )


CONNECTION: Final = Described(
    "Claude Code", "messages", "2026-07-28", "2 variables, 2 files for tools", _setup, needs_model=False
)
