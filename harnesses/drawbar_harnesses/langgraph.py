"""`langgraph`: an agent of LangGraph."""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.framework import FrameworkAgent
from drawbar_harnesses.installs import PythonPackages


class LangGraphHarness(FrameworkAgent):
    __doc__ = (__doc__ or "") + (FrameworkAgent.__doc__ or "")
    install: ClassVar = PythonPackages(
        "langgraph",
        version="1.2.22",
        requirements=(
            "langgraph==1.2.22",
            "langchain==1.4.7",
            "langchain-openai==1.7.3",
            "langchain-anthropic==1.7.7",
            "langchain-mcp-adapters==0.3.2",
            "mcp==1.30.0",
        ),
    )
    dialects: ClassVar = ("chat", "messages", "responses")
    mcp: ClassVar = "2025-11-25"
