"""`openai_agents`: an agent of OpenAI Agents SDK."""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.framework import FrameworkAgent
from drawbar_harnesses.installs import PythonPackages


class OpenAIAgentsHarness(FrameworkAgent):
    __doc__ = (__doc__ or "") + (FrameworkAgent.__doc__ or "")
    install: ClassVar = PythonPackages(
        "openai_agents",
        version="0.24.0",
        requirements=(
            "openai-agents==0.24.0",
            "openai==3.54.0",
            "mcp==2.3.0",
        ),
    )
    dialects: ClassVar = ("chat", "responses")
    mcp: ClassVar = "2026-07-28"
