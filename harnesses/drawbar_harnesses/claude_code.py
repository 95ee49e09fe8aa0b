"""`claude_code`: Claude Code (npm `@anthropic-ai/claude-code`), in its print mode.

Its own tools are left out, unless `own_tools` is set. Tools are offered outright: by default it hides those of MCP
behind a search tool. The task's system prompt is added to its own.
"""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.agent import LONG, SERVER, CommandLineAgent
from drawbar_harnesses.connections.claude_code import models, server
from drawbar_harnesses.desk import Desk
from drawbar_harnesses.installs import NpmProgram
from drawbar_harnesses.launch import Start

SETTINGS = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_BUG_COMMAND": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    "ENABLE_TOOL_SEARCH": "false",
    "IS_SANDBOX": "1",
    "MCP_CONNECTION_NONBLOCKING": "0",
    "MCP_TIMEOUT": "120000",
    "MCP_TOOL_TIMEOUT": str(LONG * 1000),
    "API_TIMEOUT_MS": str(LONG * 1000),
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
}
"""Nothing to anybody but the gateway; no turn before the tools are there; root may let all tools run (IS_SANDBOX)."""


class ClaudeCodeHarness(CommandLineAgent):
    __doc__ = (__doc__ or "") + (CommandLineAgent.__doc__ or "")
    install: ClassVar = NpmProgram("claude_code", "@anthropic-ai/claude-code", "2.1.330", "claude", scripts=True)
    dialect: ClassVar = "messages"
    mcp: ClassVar = "2026-07-28"
    asks_user: ClassVar = True

    def start(self, desk: Desk) -> Start:
        work = desk.assignment
        servers = {"mcpServers": {SERVER: server(work.mcp_url)}}
        arguments = [
            "--print", "--output-format", "json", "--model", work.model, "--strict-mcp-config", "--mcp-config",
            str(desk.write("mcp.json", servers)),
        ]  # fmt: skip
        if work.user_url is None:
            arguments.append("--no-session-persistence")
        elif desk.replied:
            arguments.append("--continue")
        if self.own_tools:
            arguments.append("--dangerously-skip-permissions")
        else:
            arguments += ["--tools", "", "--allowedTools", f"mcp__{SERVER}", "--permission-mode", "dontAsk"]
        if desk.system:
            arguments += ["--append-system-prompt", desk.system]
        return self.started(
            desk, *arguments, ANTHROPIC_BASE_URL=work.base_url, ANTHROPIC_API_KEY=work.key,
            CLAUDE_CONFIG_DIR=str(desk.home / ".claude"), **SETTINGS, **models(work.model),
        )  # fmt: skip
