"""Where one rollout's agent works: a home and a directory of its own, and an environment that keeps it there."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from drawbar.harness import Assignment
from drawbar_harnesses.launch import inherited
from drawbar_harnesses.opening import prompt_of, system_of

_NOT_PASSED = ("VIRTUAL_ENV", "TERM", "SHELL")


@dataclass(frozen=True, slots=True)
class Desk:
    """What one rollout's agent finds: an empty home, an empty directory to work in, and its work order."""

    assignment: Assignment
    home: Path
    workdir: Path
    replied: int = 0
    """How often the task's user has replied: if ever, the agent goes on with the conversation that it had here."""

    def after(self, said: Mapping[str, Any]) -> Desk:
        """The same desk, with what the user said as the prompt."""
        opening = [message for message in self.assignment.messages if message.get("role") == "system"]
        return replace(self, assignment=replace(self.assignment, messages=[*opening, said]), replied=self.replied + 1)

    @property
    def prompt(self) -> str:
        return prompt_of(self.assignment.messages)

    @property
    def system(self) -> str:
        """The task's system prompt, or nothing."""
        return system_of(self.assignment.messages)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a program that is to stay at this desk."""
        home = self.home
        ours = {name: value for name, value in inherited().items() if name not in _NOT_PASSED}
        return ours | {
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

    def write(self, path: str, content: str | Mapping[str, Any]) -> Path:
        """A file below the home: text, or an object as JSON."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2)
        file.write_text(text, encoding="utf-8")
        return file


@asynccontextmanager
async def laid(assignment: Assignment) -> AsyncIterator[Desk]:
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
