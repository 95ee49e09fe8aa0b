"""`google_adk`: an agent of Google ADK."""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.framework import FrameworkAgent
from drawbar_harnesses.installs import PythonPackages


class GoogleADKHarness(FrameworkAgent):
    __doc__ = (__doc__ or "") + (FrameworkAgent.__doc__ or "")
    install: ClassVar = PythonPackages(
        "google_adk",
        version="2.13.0",
        requirements=(
            "google-adk==2.13.0",
            "litellm==1.106.2",
            "mcp==2.3.0",
        ),
    )
    dialects: ClassVar = ("chat", "gemini")
    mcp: ClassVar = "2025-11-25"
    settings: ClassVar = {"NO_GCE_CHECK": "true"}  # it would ask whether it runs on Google's machines
