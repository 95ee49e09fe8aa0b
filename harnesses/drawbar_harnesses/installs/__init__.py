"""Agents that are no part of drawbar: fetched on request, at a pinned version, into a cache folder of their own.

A harness names what it needs in a class attribute, `install`; `drawbar harness install NAME` fetches it:

    class OpencodeHarness:
        install = NpmProgram("opencode", package="opencode-ai", version="1.18.33", program="opencode")

    class OpenAIAgentsHarness:
        install = PythonPackages("openai_agents", version="0.24.0", requirements=("openai-agents==0.24.0", ...))

Nothing is fetched unasked: a harness that needs what is not there says how to get it (`need`).
"""

from __future__ import annotations

from drawbar_harnesses.installs.npm import NpmProgram
from drawbar_harnesses.installs.packages import PythonPackages

__all__ = ["NpmProgram", "PythonPackages"]
