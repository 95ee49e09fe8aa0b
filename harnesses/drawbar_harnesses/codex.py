"""`codex`: the Codex CLI (npm `@openai/codex`), as `codex exec`.

What can be switched off of its own tools is, unless `own_tools` is set, and its sandbox then lets commands read only.
The task's system prompt goes along as developer instructions.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from drawbar_harnesses.agent import LONG, SERVER, CommandLineAgent
from drawbar_harnesses.connections.codex import provider, server
from drawbar_harnesses.desk import Desk
from drawbar_harnesses.installs import NpmProgram
from drawbar_harnesses.launch import Start

FEATURES = (
    "apps", "browser_use", "computer_use", "goals", "image_generation", "in_app_browser", "plugins",
    "shell_snapshot", "shell_tool", "skill_search", "sleep_tool", "tool_suggest", "unified_exec", "view_image",
)  # fmt: skip
"""What it can do beside the tools of the environment."""


class CodexHarness(CommandLineAgent):
    __doc__ = (__doc__ or "") + (CommandLineAgent.__doc__ or "")
    install: ClassVar = NpmProgram("codex", "@openai/codex", "0.169.0", "codex")
    dialect: ClassVar = "responses"
    mcp: ClassVar = "2025-06-18"
    asks_user: ClassVar = True

    def start(self, desk: Desk) -> Start:
        home = desk.write(".codex/config.toml", _toml(self._configuration(desk))).parent
        arguments = ["exec", "--skip-git-repo-check", "--json"]
        if desk.assignment.user_url is None:
            arguments.append("--ephemeral")
        again = ["resume", "--last"] if desk.replied else []
        return self.started(desk, *arguments, *again, "-", CODEX_HOME=str(home), DRAWBAR_KEY=desk.assignment.key)

    def _configuration(self, desk: Desk) -> dict[str, Any]:
        work = desk.assignment
        configuration: dict[str, Any] = {
            "model": work.model,
            "model_provider": SERVER,
            "approval_policy": "never",
            "sandbox_mode": "danger-full-access" if self.own_tools else "read-only",
            "web_search": "disabled",
            "check_for_update_on_startup": False,
        }
        if desk.system:
            configuration["developer_instructions"] = desk.system
        limits = {
            "env_key": "DRAWBAR_KEY",
            "stream_idle_timeout_ms": LONG * 1000,
            "request_max_retries": 2,
            "stream_max_retries": 2,
        }
        return configuration | {
            "analytics": {"enabled": False},
            "features": {} if self.own_tools else dict.fromkeys(FEATURES, False),
            "history": {"persistence": "none"},
            "agents": {"enabled": self.own_tools},
            f"model_providers.{SERVER}": provider(work.openai_base_url) | limits,
            f"mcp_servers.{SERVER}": server(work.mcp_url)
            | {
                "required": True,
                "startup_timeout_sec": 120,
                "tool_timeout_sec": LONG,
            },
        }


def _toml(configuration: dict[str, Any]) -> str:
    """Values, then tables of values; texts and truth values are written in TOML as in JSON."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in configuration.items() if not isinstance(value, dict)]
    for name, table in configuration.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"
