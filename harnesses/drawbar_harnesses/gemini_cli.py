"""`gemini_cli`: the Gemini CLI (npm `@google/gemini-cli`), without questions.

Its own tools are left out, unless `own_tools` is set. The task's system prompt goes along as its global memory.
"""

from __future__ import annotations

from typing import Any, ClassVar

from drawbar_harnesses.agent import LONG, SERVER, CommandLineAgent
from drawbar_harnesses.connections.gemini_cli import BY_KEY, server
from drawbar_harnesses.desk import Desk
from drawbar_harnesses.installs import NpmProgram
from drawbar_harnesses.launch import Start


class GeminiCliHarness(CommandLineAgent):
    __doc__ = (__doc__ or "") + (CommandLineAgent.__doc__ or "")
    install: ClassVar = NpmProgram("gemini_cli", "@google/gemini-cli", "0.61.0", "gemini")
    dialect: ClassVar = "gemini"
    mcp: ClassVar = "2025-06-18"
    asks_user: ClassVar = True

    def start(self, desk: Desk) -> Start:
        work = desk.assignment
        desk.write(".gemini/settings.json", self._settings(desk))
        if desk.system:
            desk.write(".gemini/GEMINI.md", desk.system)
        again = ("--resume", "latest") if desk.replied else ()
        return self.started(
            desk, *again, "--yolo", "--skip-trust", "--model", work.model, "--output-format", "json", "--extensions",
            "none", GEMINI_API_KEY=work.key, GOOGLE_GEMINI_BASE_URL=work.base_url,
            GEMINI_CLI_TRUST_WORKSPACE="true", GEMINI_TELEMETRY_ENABLED="false", GEMINI_CLI_NO_RELAUNCH="true",
        )  # fmt: skip

    def _settings(self, desk: Desk) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "mcpServers": {SERVER: server(desk.assignment.mcp_url) | {"timeout": LONG * 1000}},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False, "maxAttempts": 2},
            "security": {"auth": {"selectedType": BY_KEY}},
            "model": {"skipNextSpeakerCheck": True},
        }
        if not self.own_tools:
            settings["tools"] = {"core": [f"mcp_{SERVER}_*"]}
            settings["skills"] = {"enabled": False}
            settings["experimental"] = {"enableAgents": False}
        return settings
