"""Where an agent's configuration lies on this machine: in a project or in the user's home."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drawbar.connecting.documents import document
from drawbar.connection import File, Setting
from drawbar.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Scope:
    """For what an agent is connected."""

    project: Path
    """A project's folder."""
    everywhere: bool = False
    """For the user, in every project."""
    strict: bool = False
    """In this project or not at all."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A file, all that belongs into it, and what it is a part of."""

    file: Path
    settings: tuple[Setting, ...]
    root: Path
    """The project or the home."""

    @property
    def text(self) -> str:
        """The settings alone, in the file's own format."""
        shown = document(self.file, "")
        for setting in self.settings:
            shown.put(setting.path, [setting.value] if setting.mode == "add" else setting.value)
        return shown.text.rstrip("\n")


def placed(files: Sequence[File], scope: Scope) -> list[Placed]:
    """Each file once, with all its settings.

    Raises:
        ConfigurationError: the agent reads no such file where the scope says.
    """
    found: dict[Path, Placed] = {}
    for file in files:
        path, root = _place(file, scope)
        known = found.get(path)
        settings = (*(known.settings if known is not None else ()), *file.settings)
        found[path] = Placed(path, settings, root)
    return list(found.values())


def home() -> Path:
    """Whose agents are connected."""
    return Path.home()


def _place(file: File, scope: Scope) -> tuple[Path, Path]:
    if file.project is not None and not scope.everywhere:
        return _variant(scope.project / file.project, file.variants), scope.project
    if file.user is None:
        raise ConfigurationError(f"This agent reads {file.project} in projects alone: leave --global out.")
    if scope.strict:
        raise ConfigurationError(f"This agent reads ~/{file.user}, and nothing in a project: leave --dir out.")
    return _variant(_in_home(file.user, file.moved), file.variants), home()


def _in_home(path: str, moved: tuple[str, str] | None) -> Path:
    variable, beginning = moved or ("", "")
    folder = os.environ.get(variable) if variable else None
    return Path(folder) / path.removeprefix(beginning).lstrip("/") if folder else home() / path


def _variant(path: Path, names: Sequence[str]) -> Path:
    others = (path.with_name(name) for name in names)
    return path if path.exists() else next((other for other in others if other.exists()), path)


def shown(path: Path) -> str:
    """As a person would write it: from here, or from the home."""
    for folder, lead in ((Path.cwd(), ""), (home(), "~/")):
        if path.is_relative_to(folder):
            return lead + str(path.relative_to(folder))
    return str(path)
