"""`llama_index`: an agent of LlamaIndex."""

from __future__ import annotations

from typing import ClassVar

from drawbar_harnesses.framework import FrameworkAgent
from drawbar_harnesses.installs import PythonPackages


class LlamaIndexHarness(FrameworkAgent):
    __doc__ = (__doc__ or "") + (FrameworkAgent.__doc__ or "")
    install: ClassVar = PythonPackages(
        "llama_index",
        version="0.14.25",
        requirements=(
            "llama-index-core==0.14.25",
            "llama-index-llms-openai-like==0.8.1",
            "llama-index-tools-mcp==0.6.0",
            "mcp==2.3.0",
        ),
    )
    mcp: ClassVar = "2025-11-25"
