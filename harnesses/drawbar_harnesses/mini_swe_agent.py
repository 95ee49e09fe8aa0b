"""`mini_swe_agent`: an agent of mini-SWE-agent."""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.framework import FrameworkAgent
from drawbar_harnesses.installs import PythonPackages


class MiniSWEAgentHarness(FrameworkAgent):
    __doc__ = (__doc__ or "") + (FrameworkAgent.__doc__ or "")
    install: ClassVar = PythonPackages(
        "mini_swe_agent",
        version="2.4.6",
        requirements=(
            "mini-swe-agent==2.4.6",
            "litellm==1.106.2",
            "mcp==2.3.0",
        ),
    )
    mcp: ClassVar = "2026-07-28"
    settings: ClassVar = {
        "MSWEA_SILENT_STARTUP": "1",
        "MSWEA_COST_TRACKING": "ignore_errors",  # the gateway knows the price
        "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT": "1",  # the gateway tries again; ten times would outlive the session
    }
