"""`opencode`: opencode (npm `opencode-ai`), through its OpenAI-compatible adapter.

Its own tools are denied, unless `own_tools` is set. Its session has a title from the start,
for it would ask the model for one.
"""

from __future__ import annotations

from typing import Any, ClassVar

from drawbar_harnesses.agent import LONG, SERVER, CommandLineAgent
from drawbar_harnesses.connections.opencode import provider, server
from drawbar_harnesses.desk import Desk
from drawbar_harnesses.installs import NpmProgram
from drawbar_harnesses.launch import Start


class OpencodeHarness(CommandLineAgent):
    __doc__ = (__doc__ or "") + (CommandLineAgent.__doc__ or "")
    install: ClassVar = NpmProgram("opencode", "opencode-ai", "1.18.33", "opencode", scripts=True)
    dialect: ClassVar = "chat"
    mcp: ClassVar = "2025-11-25"
    asks_user: ClassVar = True

    def start(self, desk: Desk) -> Start:
        model = desk.assignment.model
        desk.write(".config/opencode/opencode.json", self._configuration(desk))
        again = ("--continue",) if desk.replied else ("--title", SERVER)
        return self.started(
            desk, "run", "--format", "json", *again, "--model", f"{SERVER}/{model}",
            OPENCODE_DISABLE_MODELS_FETCH="1", OPENCODE_DISABLE_AUTOUPDATE="1", OPENCODE_DISABLE_LSP_DOWNLOAD="1",
            OPENCODE_DISABLE_DEFAULT_PLUGINS="1", OPENCODE_DISABLE_SHARE="1",
        )  # fmt: skip

    def _configuration(self, desk: Desk) -> dict[str, Any]:
        work = desk.assignment
        entry = provider(work.openai_base_url, work.key, work.model)
        entry["options"]["timeout"] = False
        permission = {"*": "allow"} if self.own_tools else {"*": "deny", f"{SERVER}_*": "allow"}
        configuration: dict[str, Any] = {
            "$schema": "https://opencode.ai/config.json",
            "model": f"{SERVER}/{work.model}",
            "small_model": f"{SERVER}/{work.model}",
            "autoupdate": False,
            "share": "disabled",
            "provider": {SERVER: entry},
            "mcp": {SERVER: server(work.mcp_url) | {"timeout": 120_000}},
            "experimental": {"mcp_timeout": LONG * 1000},
            "permission": permission,
        }
        if desk.system:
            configuration["instructions"] = [str(desk.write("system.md", desk.system))]
        return configuration
