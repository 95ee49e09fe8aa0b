"""`strands`: an agent of Strands."""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.framework import FrameworkAgent
from drawbar_harnesses.installs import PythonPackages


class StrandsHarness(FrameworkAgent):
    __doc__ = (__doc__ or "") + (FrameworkAgent.__doc__ or "")
    install: ClassVar = PythonPackages(
        "strands",
        version="1.62.0",
        requirements=(
            "strands-agents[anthropic,gemini,openai]==1.62.0",
            "mcp==2.1.1",
        ),
    )
    dialects: ClassVar = ("chat", "gemini", "messages", "responses")
    mcp: ClassVar = "2026-07-28"
