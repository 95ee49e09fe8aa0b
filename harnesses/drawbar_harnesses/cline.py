"""`cline`: the Cline CLI (npm `cline`), by its OpenAI-compatible provider.

Its own tools are left out, unless `own_tools` is set. Its sessions are kept by the process itself: as it ships, it
starts a daemon for them, which all that run on a machine share and which outlives them. Its prompt is an argument, for
it reads no file: one of more than 128 KiB cannot be given to it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from drawbar_harnesses.agent import LONG, SERVER, CommandLineAgent
from drawbar_harnesses.connections.cline import PROVIDER, provider, server
from drawbar_harnesses.desk import Desk
from drawbar_harnesses.installs import NpmProgram
from drawbar_harnesses.launch import Start

OWN_TOOLS = [
    "read_files", "search_codebase", "run_commands", "fetch_web_content", "editor", "apply_patch", "skills",
    "ask_question", "submit_and_exit", "spawn_agent", "team_attach_outcome_fragment", "team_await_runs",
    "team_broadcast", "team_cancel_run", "team_cleanup", "team_create_outcome", "team_finalize_outcome",
    "team_list_outcomes", "team_list_runs", "team_mission_log", "team_read_mailbox", "team_review_outcome_fragment",
    "team_run_task", "team_send_message", "team_shutdown_teammate", "team_spawn_teammate", "team_status", "team_task",
]  # fmt: skip
"""What it can do without MCP: it has no switch for all of them."""


class ClineHarness(CommandLineAgent):
    __doc__ = (__doc__ or "") + (CommandLineAgent.__doc__ or "")
    install: ClassVar = NpmProgram("cline", "cline", "3.0.65", "cline", scripts=True)
    dialect: ClassVar = "chat"
    mcp: ClassVar = "2025-11-25"

    def start(self, desk: Desk) -> Start:
        tools = server(desk.assignment.mcp_url) | {"timeout": LONG}
        desk.write(".cline/data/settings/cline_mcp_settings.json", {"mcpServers": {SERVER: tools}})
        desk.write(".cline/data/settings/providers.json", self._providers(desk))
        if desk.system:
            desk.write(".cline/rules/task.md", desk.system)
        desk.write(".cline/data/settings/global-settings.json", self._settings())
        return self.started(
            desk, "--json", "--auto-approve", "true", "--compaction", "off", "--", desk.prompt,
            CLINE_SESSION_BACKEND_MODE="local", OTEL_SDK_DISABLED="true",
        )  # fmt: skip

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"telemetryOptOut": True, "autoUpdateEnabled": False, "compactionEnabled": False}
        return settings if self.own_tools else {**settings, "disabledTools": OWN_TOOLS}

    def _providers(self, desk: Desk) -> dict[str, Any]:
        work = desk.assignment
        entry = provider(work.openai_base_url, work.key, work.model)
        return {"version": 1, "lastUsedProvider": PROVIDER, "modes": {}, "providers": {PROVIDER: entry}}
