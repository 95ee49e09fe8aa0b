"""The project that `drawbar env new` writes: templates, and the one function that fills them in."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from drawbar.errors import ConfigurationError

_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_SUFFIX: Final = ".jinja"


def write_project(name: str, parent: Path) -> list[Path]:
    """Write a new environment project into `parent / name`; the files that were written.

    Raises:
        ConfigurationError: a name that cannot be one, or a folder that is there already.
    """
    folder, package = parent / name, name.replace("-", "_")
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot name an environment. Use lower-case letters, digits, '-' and '_', a letter first: "
            "my-environment."
        )
    if package in sys.stdlib_module_names or package in ("drawbar", "drawbar_harnesses", "tests"):
        raise ConfigurationError(f"{name!r} is the name of a Python package already. Take another: my-{name}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is there already, and is not empty. Take another name, or move it away.")
    values = {"name": name, "package": package, "folder": str(folder)}
    return [_write(template, folder / place, values) for template, place in _templates(package)]


def _templates(package: str) -> list[tuple[Traversable, str]]:
    found: list[tuple[Traversable, str]] = []

    def walk(directory: Traversable, place: str) -> None:
        for item in sorted(directory.iterdir(), key=lambda entry: entry.name):
            name = package if item.name == "PACKAGE" else item.name
            if item.is_dir():
                walk(item, f"{place}{name}/")
            elif name.endswith(_SUFFIX):
                found.append((item, place + name.removesuffix(_SUFFIX)))

    walk(files(__name__) / "project", "")
    return found


def _write(template: Traversable, path: Path, values: dict[str, str]) -> Path:
    from jinja2 import Environment, StrictUndefined

    filled = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(filled.from_string(template.read_text("utf-8")).render(values), "utf-8")
    return path
