"""What all Python frameworks share: a small program of ours, run by the framework's own Python.

A framework needs packages that disagree with ours and with other frameworks' (`openai`, `mcp`, `litellm` in other
versions), so each has a virtual environment of its own and is never imported here. The program, `frameworks/NAME.py`,
is told where to work by environment variables (`frameworks/desk.py` reads them).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import orjson

from drawbar.errors import UnknownName
from drawbar.harness import Assignment, Outcome
from drawbar_harnesses.desk import Desk, laid
from drawbar_harnesses.installs import PythonPackages
from drawbar_harnesses.launch import Programs, Start

FRAMEWORKS = Path(__file__).with_name("frameworks")
_SILENT = {
    "ANONYMIZED_TELEMETRY": "false",
    "HF_HUB_OFFLINE": "1",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "OTEL_SDK_DISABLED": "true",
}
"""What keeps these frameworks, and the libraries that they share, from talking to anybody but the gateway."""


class FrameworkAgent:
    """Options of each:

    `timeout`: seconds; the task's limit of wall time holds as well. The other limits are kept by the gateway: the
    framework's own are raised out of the way.
    `dialect`: what the framework is to speak with the model, of those that it can; most frameworks have a client for
    each, with habits of its own.

    Raises:
        ConfigurationError: the framework is not installed.
        UnknownName: it does not speak that dialect.
    """

    install: ClassVar[PythonPackages]
    dialect: str = "chat"
    """What it speaks unless it is told otherwise."""
    dialects: ClassVar[tuple[str, ...]] = ("chat",)
    """All that it can be told to speak."""
    mcp: ClassVar[str | None]
    """The newest revision of MCP that it speaks."""
    settings: ClassVar[Mapping[str, str]] = {}
    """Variables that this framework needs beside those that silence all."""

    def __init__(self, *, timeout: float | None = None, dialect: str = "chat") -> None:
        if dialect not in self.dialects:
            raise UnknownName(f"dialect of {self.install.name}", dialect, self.dialects)
        self.dialect = dialect
        self.name = self.install.label
        self._python = self.install.need()
        self._programs = Programs(timeout)

    async def __aenter__(self) -> Self:
        await self._programs.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._programs.__aexit__(*exception)

    async def run(self, assignment: Assignment, /) -> Outcome:
        async with laid(assignment) as desk:
            command = [str(self._python), str(FRAMEWORKS), self.install.name]
            start = Start(command, self.environment(desk), desk.workdir, self.name)
            return await self._programs.run(start, assignment)

    def environment(self, desk: Desk) -> dict[str, str]:
        """The variables by which the program is told where to work."""
        work = desk.assignment
        messages = desk.write("messages.json", orjson.dumps([dict(message) for message in work.messages]).decode())
        told = {
            "DRAWBAR_BASE_URL": work.base_url,
            "DRAWBAR_DIALECT": self.dialect,
            "DRAWBAR_KEY": work.key,
            "DRAWBAR_MODEL": work.model,
            "DRAWBAR_MCP_URL": work.mcp_url,
            "DRAWBAR_MESSAGES_FILE": str(messages),
            "DRAWBAR_TASK": work.task.key,
        }
        return {**desk.environment, "PYTHONUNBUFFERED": "1", **_SILENT, **self.settings, **told}
