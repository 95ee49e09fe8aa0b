"""A pinned set of Python packages in a virtual environment of its own, apart from drawbar's and from every other."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from drawbar_harnesses.installs.place import Place, Say, command

_HINT = "Check the network and the package index, then try again."


@dataclass(frozen=True, slots=True)
class PythonPackages:
    """What `drawbar harness install` fetches for an agent that is a Python library."""

    name: str
    """The harness'."""
    version: str
    """Of the library that it is named after."""
    requirements: tuple[str, ...]
    """As pip reads them, pinned: `("openai-agents==0.24.0", "mcp==2.3.0")`."""

    @property
    def label(self) -> str:
        """What trajectories and reports call the harness."""
        return f"{self.name} {self.version}"

    @property
    def installed(self) -> bool:
        return self._place.ready and self._python(self._place.folder).exists()

    def install(self, say: Say) -> None:
        """Fetch them, unless they are there. With uv where there is one, else with venv and pip.

        Raises:
            HarnessError: no virtual environment can be made, a package is not found, or the folder cannot be written.
        """
        self._place.fill(self._make, say)

    def need(self) -> Path:
        """The Python interpreter that has them.

        Raises:
            ConfigurationError: they are not installed; the message says what to do.
        """
        return self._python(self._place.need())

    @property
    def _place(self) -> Place:
        wanted = {"python": f"{sys.version_info[0]}.{sys.version_info[1]}", "packages": sorted(self.requirements)}
        return Place(self.name, self.version, wanted)

    def _python(self, folder: Path) -> Path:
        return folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def _make(self, folder: Path) -> None:
        doing, environment, python = f"Installing {self.label}", folder / "venv", self._python(folder)
        base = getattr(sys, "_base_executable", sys.executable)
        uv = shutil.which("uv")
        if uv is not None:
            command([uv, "venv", "--quiet", "--python", base, environment], doing=doing, hint=_HINT, cwd=folder)
            tool: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python]
        else:
            hint = "On Debian and Ubuntu, install python3-venv."
            command([base, "-m", "venv", environment], doing=doing, hint=hint, cwd=folder)
            tool = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        command([*tool, *self.requirements], doing=doing, hint=_HINT, cwd=folder)
