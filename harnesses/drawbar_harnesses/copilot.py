"""`copilot`: GitHub Copilot CLI (npm `@github/copilot`), with the gateway as its own provider and GitHub left out.

Its own tools are left out, unless `own_tools` is set.
"""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.agent import LONG, SERVER, CommandLineAgent
from drawbar_harnesses.connections.copilot import server, variables
from drawbar_harnesses.desk import Desk
from drawbar_harnesses.installs import NpmProgram
from drawbar_harnesses.launch import Start


class CopilotHarness(CommandLineAgent):
    __doc__ = (__doc__ or "") + (CommandLineAgent.__doc__ or "")
    install: ClassVar = NpmProgram("copilot", "@github/copilot", "1.0.102", "copilot")
    dialect: ClassVar = "chat"
    mcp: ClassVar = "2026-07-28"
    asks_user: ClassVar = True

    def start(self, desk: Desk) -> Start:
        work = desk.assignment
        tools = server(work.mcp_url) | {"timeout": LONG * 1000}
        desk.write(".copilot/mcp-config.json", {"mcpServers": {SERVER: tools}})
        if desk.system:
            desk.write(".copilot/copilot-instructions.md", desk.system)
        arguments = [
            "--allow-all-tools", "--no-auto-update", "--disable-builtin-mcps", "--no-ask-user",
            "--disable-client-telemetry", "--output-format", "json",
        ]  # fmt: skip
        if desk.replied:
            arguments.append("--continue")
        if not self.own_tools:
            arguments.append(f"--available-tools={SERVER}")
        return self.started(
            desk, *arguments, COPILOT_OFFLINE="true", COPILOT_AUTO_UPDATE="false",
            COPILOT_HOME=str(desk.home / ".copilot"), **variables(work.openai_base_url, work.key, work.model),
        )  # fmt: skip
