"""What all command-line agents share: a home and a working directory for each rollout, and how they are run in them.

A harness of one agent is a subclass that says what to install, and writes the agent's configuration in `start`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import anyio
import anyio.to_thread

from drawbar.harness import Assignment, Outcome
from drawbar_harnesses.installs import NpmProgram
from drawbar_harnesses.opening import prompt_of, system_of
from drawbar_harnesses.launch import Programs, Start, inherited

SERVER = "drawbar"
"""The name under which agents know the session's tools: it is part of the names that models see."""
_NOT_PASSED = ("VIRTUAL_ENV", "TERM", "SHELL")


@dataclass(frozen=True, slots=True)
class Desk:
    """What one rollout's agent finds: an empty home, an empty directory to work in, and its work order."""

    assignment: Assignment
    home: Path
    workdir: Path

    @property
    def prompt(self) -> str:
        return prompt_of(self.assignment.messages)

    @property
    def system(self) -> str:
        """The task's system prompt, or nothing."""
        return system_of(self.assignment.messages)

    def write(self, path: str, content: str | Mapping[str, Any]) -> Path:
        """A file below the home: text, or an object as JSON."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2)
        file.write_text(text, encoding="utf-8")
        return file


class CommandLineAgent(ABC):
    """Options of each:

    `timeout`: seconds; the task's limit of wall time holds as well.
    `own_tools`: let the agent use its own tools (shell, files, web) beside those of the environment. They are not
    confined to the rollout's directories: say so only where the whole run is in a sandbox.

    Raises:
        ConfigurationError: the agent is not installed.
    """

    install: ClassVar[NpmProgram]
    dialect: ClassVar[str]
    mcp: ClassVar[str | None]
    """The newest revision of MCP that it speaks."""

    def __init__(self, *, timeout: float | None = None, own_tools: bool = False) -> None:
        self.name = self.install.label
        self.own_tools = own_tools
        self._program, self._node = self.install.need()
        self._programs = Programs(timeout)

    async def __aenter__(self) -> CommandLineAgent:
        await self._programs.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._programs.__aexit__(*exception)

    async def run(self, assignment: Assignment, /) -> Outcome:
        async with _laid(assignment) as desk:
            return await self.work(desk)

    async def work(self, desk: Desk) -> Outcome:
        """One prompt, answered: most agents are started once for it."""
        return await self._programs.run(self.start(desk), desk.assignment)

    @abstractmethod
    def start(self, desk: Desk) -> Start:
        """Write the agent's configuration below the desk's home; how to start it then."""

    def started(self, desk: Desk, *arguments: str, **variables: str) -> Start:
        """The agent with these arguments and variables, in an environment that keeps it at its desk."""
        return Start([str(self._program), *arguments], self._environment(desk) | variables, desk.workdir, self.name)

    def _environment(self, desk: Desk) -> dict[str, str]:
        home = desk.home
        ours = {name: value for name, value in inherited().items() if name not in _NOT_PASSED}
        return ours | {
            "PATH": os.pathsep.join([str(self._node), ours.get("PATH", os.defpath)]),
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_DATA_HOME": str(home / ".local" / "share"),
            "XDG_STATE_HOME": str(home / ".local" / "state"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "XDG_RUNTIME_DIR": str(home / "tmp"),
            "TERM": "dumb",
            "NO_COLOR": "1",
            "DO_NOT_TRACK": "1",
        }


@asynccontextmanager
async def _laid(assignment: Assignment) -> AsyncIterator[Desk]:
    """A desk; what lies on it is removed afterwards, but for a working directory that was given."""
    root = Path(tempfile.mkdtemp(prefix="drawbar-"))
    try:
        home, workdir = root / "home", assignment.workdir or root / "work"
        (home / "tmp").mkdir(parents=True)
        workdir.mkdir(exist_ok=True)
        yield Desk(assignment, home, workdir)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(root, ignore_errors=True))
