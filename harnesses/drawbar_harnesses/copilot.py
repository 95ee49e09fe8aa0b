"""`copilot`: GitHub Copilot CLI (npm `@github/copilot`), with the gateway as its own provider and GitHub left out.

Its own tools are left out, unless `own_tools` is set.
"""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.agent import LONG, SERVER, CommandLineAgent
from drawbar_harnesses.desk import Desk
from drawbar_harnesses.installs import NpmProgram
from drawbar_harnesses.launch import Start


class CopilotHarness(CommandLineAgent):
    __doc__ = (__doc__ or "") + (CommandLineAgent.__doc__ or "")
    install: ClassVar = NpmProgram("copilot", "@github/copilot", "1.0.102", "copilot")
    dialect: ClassVar = "chat"
    mcp: ClassVar = "2026-07-28"

    def start(self, desk: Desk) -> Start:
        work = desk.assignment
        server = {"type": "http", "url": work.mcp_url, "tools": ["*"], "timeout": LONG * 1000}
        desk.write(".copilot/mcp-config.json", {"mcpServers": {SERVER: server}})
        if desk.system:
            desk.write(".copilot/copilot-instructions.md", desk.system)
        arguments = [
            "--allow-all-tools", "--no-auto-update", "--disable-builtin-mcps", "--no-ask-user",
            "--disable-client-telemetry", "--output-format", "json",
        ]  # fmt: skip
        if not self.own_tools:
            arguments.append(f"--available-tools={SERVER}")
        return self.started(
            desk, *arguments, COPILOT_OFFLINE="true", COPILOT_AUTO_UPDATE="false",
            COPILOT_HOME=str(desk.home / ".copilot"), COPILOT_PROVIDER_TYPE="openai",
            COPILOT_PROVIDER_WIRE_API="completions", COPILOT_PROVIDER_BASE_URL=work.openai_base_url,
            COPILOT_PROVIDER_API_KEY=work.key, COPILOT_MODEL=work.model,
        )  # fmt: skip
