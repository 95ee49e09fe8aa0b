"""`qwen_code`: Qwen Code (npm `@qwen-code/qwen-code`), by its OpenAI settings.

Its own tools are left out, unless `own_tools` is set. Tools are offered outright: by default it hides those of MCP
behind a search tool. Its memory, a second agent that reads the whole conversation, is off.
"""

from __future__ import annotations

from typing import Any, ClassVar

from drawbar_harnesses.agent import LONG, SERVER, CommandLineAgent
from drawbar_harnesses.connections.qwen_code import server, variables
from drawbar_harnesses.desk import Desk
from drawbar_harnesses.installs import NpmProgram
from drawbar_harnesses.launch import Start

ALWAYS_THERE = (
    "agent", "enter_worktree", "exit_worktree", "get_goal", "list_agents", "record_artifact", "report_findings",
    "send_message", "skill", "task_stop", "update_goal",
)  # fmt: skip
"""Its tools that no list of allowed ones leaves out."""


class QwenCodeHarness(CommandLineAgent):
    __doc__ = (__doc__ or "") + (CommandLineAgent.__doc__ or "")
    install: ClassVar = NpmProgram("qwen_code", "@qwen-code/qwen-code", "0.24.4", "qwen")
    dialect: ClassVar = "chat"
    mcp: ClassVar = "2025-11-25"
    asks_user: ClassVar = True

    def start(self, desk: Desk) -> Start:
        work = desk.assignment
        desk.write(".qwen/settings.json", self._settings(desk))
        arguments = ["--yolo", "--auth-type", "openai", "--model", work.model, "--output-format", "json"]
        if desk.replied:
            arguments.append("--continue")
        if desk.system:
            arguments += ["--append-system-prompt", desk.system]
        return self.started(
            desk, *arguments, **variables(work.openai_base_url, work.key, work.model),
            QWEN_CODE_NO_RELAUNCH="1", QWEN_CODE_DISABLE_CRON="1", QWEN_CODE_DISABLE_WORKFLOWS="1",
            QWEN_CODE_SUPPRESS_YOLO_WARNING="1", QWEN_CODE_LEGACY_MCP_BLOCKING="1",
        )  # fmt: skip

    def _settings(self, desk: Desk) -> dict[str, Any]:
        tools: dict[str, Any] = {"toolSearch": {"enabled": False}}
        if not self.own_tools:
            tools |= {"core": [f"mcp__{SERVER}"], "exclude": ALWAYS_THERE}
        return {
            "mcpServers": {SERVER: server(desk.assignment.mcp_url) | {"timeout": LONG * 1000}},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "general": {"enableAutoUpdate": False, "disableAutoUpdate": True, "disableUpdateNag": True},
            "memory": {"enableManagedAutoMemory": False, "enableManagedAutoDream": False},
            "model": {"generationConfig": {"timeout": LONG * 1000, "maxRetries": 0}},
            "ui": {"enableFollowupSuggestions": False},
            "security": {"auth": {"selectedType": "openai"}},
            "tools": tools,
        }
