"""A program from npm at a pinned version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drawbar.errors import ConfigurationError, HarnessError
from drawbar_harnesses.installs.node import node_folder, npm_install, provide_node
from drawbar_harnesses.installs.place import Place, Say


@dataclass(frozen=True, slots=True)
class NpmProgram:
    """What `drawbar harness install` fetches for an agent from npm."""

    name: str
    """The harness'."""
    package: str
    version: str
    program: str
    """Its name among the package's programs."""
    scripts: bool = False
    """Whether the package's install scripts must run: those of programs that put their binary in place by them."""

    @property
    def label(self) -> str:
        """What trajectories and reports call the harness."""
        return f"{self.name} {self.version}"

    @property
    def installed(self) -> bool:
        return self._place.ready and node_folder() is not None

    def install(self, say: Say) -> None:
        """Fetch it, unless it is there.

        Raises:
            HarnessError: npm is missing or fails, or the folder cannot be written.
        """
        provide_node(say)
        self._place.fill(self._fetch, say)

    def need(self) -> tuple[Path, Path]:
        """The program's file, and the folder of the Node that it runs with (for its PATH).

        Raises:
            ConfigurationError: it is not installed; the message says what to do.
        """
        folder, node = self._place.need(), node_folder()
        if node is None:
            raise ConfigurationError(
                f"The harness {self.name} needs a newer Node.js than there is: drawbar harness install {self.name}"
            )
        return self._program(folder), node

    @property
    def _place(self) -> Place:
        return Place(self.name, self.version, {"npm": f"{self.package}@{self.version}"})

    def _program(self, folder: Path) -> Path:
        return folder / "node_modules" / ".bin" / self.program

    def _fetch(self, folder: Path) -> None:
        npm_install(folder, f"{self.package}@{self.version}", scripts=self.scripts)
        if not self._program(folder).exists():
            raise HarnessError(f"{self.package} {self.version} holds no program named {self.program}.")
