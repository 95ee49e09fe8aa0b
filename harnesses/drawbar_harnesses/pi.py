"""`pi`: the pi coding agent (npm `@mariozechner/pi-coding-agent`), by its chat completions provider.

It knows no MCP: an extension of ours, `pi_tools.mjs`, gives it the tools of the session. Its own tools are left out,
unless `own_tools` is set.
"""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.agent import SERVER, CommandLineAgent
from drawbar_harnesses.connections.pi import EXTENSION, provider
from drawbar_harnesses.desk import Desk
from drawbar_harnesses.installs import NpmProgram
from drawbar_harnesses.launch import Start


class PiHarness(CommandLineAgent):
    __doc__ = (__doc__ or "") + (CommandLineAgent.__doc__ or "")
    install: ClassVar = NpmProgram("pi", "@mariozechner/pi-coding-agent", "0.73.1", "pi")
    dialect: ClassVar = "chat"
    mcp: ClassVar = None
    asks_user: ClassVar = True

    def start(self, desk: Desk) -> Start:
        work = desk.assignment
        entry = provider(work.openai_base_url, work.key, work.model)
        desk.write(".pi/agent/models.json", {"providers": {SERVER: entry}})
        arguments = [
            "--print", "--mode", "json", "--provider", SERVER, "--model", work.model, "--offline",
            "--no-extensions", "--extension", str(EXTENSION), "--no-skills", "--no-prompt-templates",
            "--no-context-files",
        ]  # fmt: skip
        if work.user_url is None:
            arguments.append("--no-session")
        elif desk.replied:
            arguments.append("--continue")
        if not self.own_tools:
            arguments.append("--no-builtin-tools")
        if desk.system:
            arguments += ["--append-system-prompt", desk.system]
        return self.started(
            desk, *arguments, PI_OFFLINE="1", PI_SKIP_VERSION_CHECK="1", PI_TELEMETRY="0",
            DRAWBAR_MCP_URL=work.mcp_url,
        )  # fmt: skip
