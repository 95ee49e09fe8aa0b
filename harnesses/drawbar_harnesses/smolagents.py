"""`smolagents`: an agent of smolagents."""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.framework import FrameworkAgent
from drawbar_harnesses.installs import PythonPackages


class SmolagentsHarness(FrameworkAgent):
    __doc__ = (__doc__ or "") + (FrameworkAgent.__doc__ or "")
    install: ClassVar = PythonPackages(
        "smolagents",
        version="1.26.0",
        requirements=(
            "smolagents[mcp,openai]==1.26.0",
            "openai==3.54.0",
            "mcp==1.30.0",
        ),
    )
    mcp: ClassVar = "2025-11-25"
