"""`autogen`: an agent of AutoGen."""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.framework import FrameworkAgent
from drawbar_harnesses.installs import PythonPackages


class AutoGenHarness(FrameworkAgent):
    __doc__ = (__doc__ or "") + (FrameworkAgent.__doc__ or "")
    install: ClassVar = PythonPackages(
        "autogen",
        version="0.7.5",
        requirements=(
            "autogen-agentchat==0.7.5",
            "autogen-ext[mcp,openai]==0.7.5",
            "mcp==1.30.0",
        ),
    )
    mcp: ClassVar = "2025-11-25"
