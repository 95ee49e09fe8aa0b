"""From what a user names to an `Environment`: an installed one by its name, a folder or a `.py` file by path.

This layer imports other people's code, so it says what went wrong there: which file and line, and what to do.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, Final

from drawbar.environment import Environment
from drawbar.errors import ConfigurationError, UnknownName
from drawbar.factory import call_factory
from drawbar.ids import digest

GROUP: Final = "drawbar.environments"
"""The entry points of installed environments."""
FACTORIES: Final = ("load_environment", "environment")
"""What a function that makes the environment is called in a module."""


def installed_environments() -> dict[str, EntryPoint]:
    """The environments that are installed, by name. Nothing is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load_environment(ref: str | Path, options: Mapping[str, str] | None = None) -> Environment:
    """The environment of that name or path.

    `ref` is the name of an installed environment, a `.py` file, or a folder: a Python project whose `pyproject.toml`
    has an entry point in the group `drawbar.environments`, or one with an `environment.toml`. `options` go to the
    function that makes the environment, turned into what its annotations say.

    Raises:
        UnknownName: no such environment (the message names the nearest), or no such option.
        ConfigurationError: it is there and cannot be loaded.
    """
    options = options or {}
    path = Path(ref)
    if path.suffix == ".py" and path.is_file():
        return _found_in(_import_file(path), str(path), options)
    if not _is_path(str(ref)) and str(ref) in (installed := installed_environments()):
        return _from_entry_point(installed[str(ref)], f"Environment {ref}", options, f"pip install {ref}")
    if path.is_dir():
        return _from_folder(path, options)
    if path.exists():
        raise ConfigurationError(f"{ref} is no environment: name a folder, a .py file, or an installed environment.")
    if _is_path(str(ref)) or path.suffix == ".py":
        raise UnknownName("environment", str(ref), _neighbours(path), "There is no such file or folder.")
    raise UnknownName(
        "environment", str(ref), {*installed_environments(), *_neighbours(path)},
        "Name an installed one (`drawbar env list`), a folder or a .py file.",
    )  # fmt: skip


def import_beside(spec: str, folder: Path) -> Any:
    """What `module:attribute` names, of a module that lies in the folder or else is installed.

    A single file in the folder becomes a module of that folder alone, so that two folders may each have a `rewards.py`.

    Raises:
        ConfigurationError: no such module or attribute, or the module fails.
    """
    module_name, attribute = _split(spec, spec)
    beside = folder / f"{module_name}.py"
    if beside.is_file():
        return _attribute(_import_file(beside), attribute, spec)
    inside = (folder / module_name.partition(".")[0]).is_dir()
    return _import_object(spec, spec, folder=folder if inside else None)


def _import_object(spec: str, where: str, install: str = "", folder: Path | None = None) -> Any:
    """What `module:attribute` names; `folder` goes on the import path, and the module must lie in it."""
    module_name, attribute = _split(spec, where)
    if folder is not None:
        _on_path(folder)
    with _translated(where, install, own=module_name.partition(".")[0]):
        module = importlib.import_module(module_name)
    if folder is not None:
        _must_lie_in(module, folder, where)
    return _attribute(module, attribute, where)


def _split(spec: str, where: str) -> tuple[str, str]:
    module, colon, attribute = spec.partition(":")
    if not module or (colon and not attribute):
        raise ConfigurationError(f"{where}: {spec!r} names nothing. Write `module:name`.")
    return module, attribute


def _attribute(module: ModuleType, path: str, where: str) -> Any:
    found: Any = module
    for part in path.split(".") if path else ():
        if not hasattr(found, part):
            known = [name for name in vars(module) if not name.startswith("_")]
            place = module.__file__ or module.__name__
            raise ConfigurationError(f"{where}: {UnknownName(f'object in {place}', part, known)}")
        found = getattr(found, part)
    return found


def _from_folder(folder: Path, options: Mapping[str, str]) -> Environment:
    if (folder / "environment.toml").is_file():
        from drawbar.environment_toml import read_environment

        if options:
            raise ConfigurationError(f"{folder / 'environment.toml'} takes no options; write them into the file.")
        return read_environment(folder / "environment.toml")
    project = folder / "pyproject.toml"
    if not project.is_file():
        raise ConfigurationError(
            f"{folder} is no environment: it has neither a pyproject.toml with an entry point in [project.entry-points."
            f'"{GROUP}"] nor an environment.toml. `drawbar env new NAME` makes one.'
        )
    point = _entry_point_of(project, folder.resolve().name)
    source = folder / "src" if (folder / "src").is_dir() else folder
    return _from_entry_point(point, str(project), options, f"pip install -e {folder}", source)


def _entry_point_of(project: Path, folder: str) -> EntryPoint:
    try:
        table = tomllib.loads(project.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{project}: not TOML: {error}") from error
    points = table.get("project", {}).get("entry-points", {}).get(GROUP, {})
    if not points:
        raise ConfigurationError(
            f'{project} names no environment. Add [project.entry-points."{GROUP}"] with a line such as '
            'my-environment = "my_package:environment".'
        )
    names = [name for name in points if name.replace("-", "_") == folder.replace("-", "_")] or list(points)
    if len(names) > 1:
        raise ConfigurationError(
            f"{project} names several environments: {', '.join(names)}. Install it (pip install -e {project.parent}) "
            "and name one."
        )
    return EntryPoint(names[0], points[names[0]], GROUP)


def _from_entry_point(
    point: EntryPoint, where: str, options: Mapping[str, str], install: str, folder: Path | None = None
) -> Environment:
    found = _import_object(point.value, f"{where} (entry point {point.name} = {point.value!r})", install, folder)
    if isinstance(found, ModuleType):
        return _found_in(found, where, options)
    return _made(found, f"{where}: {point.value}", options)


def _found_in(module: ModuleType, where: str, options: Mapping[str, str]) -> Environment:
    """A module's environment: its factory, or its one `Environment`."""
    for name in FACTORIES:
        factory = getattr(module, name, None)
        if inspect.isfunction(factory) and factory is not load_environment:  # ours comes with `from drawbar import *`
            return _made(factory, f"{where}: {name}", options)
    named = {name: value for name, value in vars(module).items() if isinstance(value, Environment)}
    distinct = {id(value): value for value in named.values()}
    if "environment" in named or len(distinct) == 1:
        return _made(named.get("environment", next(iter(distinct.values()))), where, options)
    if not named:
        raise ConfigurationError(
            f"{where} has no environment. Give it `environment = drawbar.Environment(...)`, or a function "
            "`environment()`."
        )
    raise ConfigurationError(
        f"{where} has several environments: {', '.join(named)}. Name the one to run `environment`."
    )


def _made(found: Any, where: str, options: Mapping[str, str]) -> Environment:
    if isinstance(found, Environment):
        if options:
            raise ConfigurationError(
                f"{where} takes no options, because it is no function. It was given: {', '.join(options)}."
            )
        return found
    if not callable(found):
        raise ConfigurationError(f"{where} is a {type(found).__name__}, not a drawbar.Environment or a function.")
    with _translated(where):
        made = call_factory(found, options, where)
    if not isinstance(made, Environment):
        raise ConfigurationError(f"{where}() returned a {type(made).__name__}, not a drawbar.Environment.")
    return made


def _import_file(path: Path) -> ModuleType:
    """Run a file as a module of its own; what lies beside it can be imported, as if Python had been given the file."""
    full = path.resolve()
    name = f"drawbar_file_{full.stem}_{digest(str(full).encode()).hex()[:8]}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, full)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    _on_path(full.parent)
    sys.modules[name] = module  # what looks a class or function up by its module must find it
    try:
        with _translated(str(path)):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _translated(where: str, install: str = "", own: str = "") -> Iterator[None]:
    """Errors of other people's code, as a message that says where and what to do."""
    try:
        yield
    except UnknownName:
        raise
    except ConfigurationError as error:
        raise ConfigurationError(str(error) if where in str(error) else f"{where}: {error}") from error
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if own and missing == own:
            raise ConfigurationError(f"{where}: there is no module {error.name!r}.") from error
        raise ConfigurationError(
            f"{where} needs the Python package {missing!r}, which is not installed here. "
            f"Run: {install or 'pip install ' + missing}"
        ) from error
    except SyntaxError as error:
        raise ConfigurationError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        frame = extract_tb(error.__traceback__)[-1]
        raise ConfigurationError(
            f"{where} could not be loaded: {frame.filename}, line {frame.lineno}: {type(error).__name__}: {error}"
        ) from error


def _must_lie_in(module: ModuleType, folder: Path, where: str) -> None:
    top = sys.modules[module.__name__.partition(".")[0]]
    places = [*getattr(top, "__path__", ()), *([top.__file__] if top.__file__ else ())]
    if not any(Path(place).resolve().is_relative_to(folder.resolve()) for place in places):
        raise ConfigurationError(
            f"{where}: {top.__name__} was already imported from {next(iter(places), 'elsewhere')}, not from {folder}. "
            "Two environments cannot share a package name in one process: rename one."
        )


def _on_path(folder: Path) -> None:
    full = str(folder.resolve())
    if full not in sys.path:
        sys.path.insert(0, full)
    importlib.invalidate_caches()


def _is_path(ref: str) -> bool:
    return os.sep in ref or "/" in ref or ref.startswith(".")


def _neighbours(path: Path) -> list[str]:
    """What lies where the path points, and could have been meant."""
    parent = path.parent
    if not parent.is_dir():
        return []
    return sorted(str(parent / p.name) for p in parent.iterdir() if _could_be_meant(p))


def _could_be_meant(path: Path) -> bool:
    marks = ("environment.toml", "pyproject.toml")
    return path.suffix == ".py" or any((path / mark).is_file() for mark in marks)
