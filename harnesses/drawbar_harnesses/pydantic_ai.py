"""`pydantic_ai`: an agent of Pydantic AI."""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.framework import FrameworkAgent
from drawbar_harnesses.installs import PythonPackages


class PydanticAIHarness(FrameworkAgent):
    __doc__ = (__doc__ or "") + (FrameworkAgent.__doc__ or "")
    install: ClassVar = PythonPackages(
        "pydantic_ai",
        version="2.68.0",
        requirements=(
            "pydantic-ai-slim[anthropic,google,mcp,openai]==2.68.0",
            "openai==3.54.0",
            "mcp==2.3.0",
        ),
    )
    dialects: ClassVar = ("chat", "gemini", "messages", "responses")
    mcp: ClassVar = "2026-07-28"
