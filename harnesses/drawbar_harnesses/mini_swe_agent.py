"""`mini_swe_agent`: mini-SWE-agent's loop with the session's tools.

Its own tool, `bash`, is not offered, unless `own_tools` is set.
"""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.desk import Desk
from drawbar_harnesses.framework import FrameworkAgent
from drawbar_harnesses.installs import PythonPackages


class MiniSWEAgentHarness(FrameworkAgent):
    __doc__ = f"""{__doc__}
    {FrameworkAgent.__doc__}
    `own_tools`: offer `bash`. Its commands are not confined to the rollout's directory: say so only where the whole run
    is in a sandbox.
    """
    install: ClassVar = PythonPackages(
        "mini_swe_agent",
        version="2.4.6",
        requirements=(
            "mini-swe-agent==2.4.6",
            "litellm==1.106.2",
            "mcp==2.3.0",
        ),
    )
    dialects: ClassVar = ("chat", "messages", "responses")
    mcp: ClassVar = "2026-07-28"
    settings: ClassVar = {
        "MSWEA_SILENT_STARTUP": "1",
        "MSWEA_COST_TRACKING": "ignore_errors",  # the gateway knows the price
        "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT": "1",  # the gateway tries again; ten times would outlive the session
    }

    def __init__(self, *, timeout: float | None = None, dialect: str = "chat", own_tools: bool = False) -> None:
        super().__init__(timeout=timeout, dialect=dialect)
        self.own_tools = own_tools

    def environment(self, desk: Desk) -> dict[str, str]:
        return super().environment(desk) | ({"DRAWBAR_OWN_TOOLS": "1"} if self.own_tools else {})
