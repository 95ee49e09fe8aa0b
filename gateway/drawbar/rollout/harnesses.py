"""Finding a harness: an installed one by name, or any by import path. The core knows none by itself."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

from drawbar.errors import ConfigurationError, UnknownName
from drawbar.factory import call_factory
from drawbar.harness import Harness

GROUP: Final = "drawbar.harnesses"
"""The entry points of installed harnesses: each names a class, or a function that makes a harness."""


def installed_harnesses() -> dict[str, EntryPoint]:
    """The harnesses that are installed, by name. Nothing is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def load_harness(ref: str, options: Mapping[str, str] | None = None) -> Harness:
    """The harness of that name, or at that `module:Class`, made with these options.

    Raises:
        UnknownName: no such harness (the message names the nearest), or no such option.
        ConfigurationError: it is there and cannot be loaded.
    """
    factory = harness_factory(ref)
    harness = call_factory(factory, options or {}, f"harness {ref}")
    if not isinstance(harness, Harness):
        raise ConfigurationError(f"Harness {ref} made a {type(harness).__name__}, which has no `name` and `run`.")
    return harness


def harness_factory(ref: str) -> Any:
    """What makes the harness: its class, as a rule."""
    installed = installed_harnesses()
    if ref in installed:
        return _loaded(installed[ref].value, ref)
    if ":" not in ref:
        raise UnknownName("harness", ref, installed, "Its import path, `module:Class`, will do as well.")
    return _loaded(ref, ref)


def _loaded(path: str, ref: str) -> Any:
    module_name, _, attribute = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # `python -m` would find what lies here, too
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigurationError(f"Harness {ref} cannot be imported: {type(error).__name__}: {error}") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        known = [name for name in dir(module) if not name.startswith("_")]
        raise UnknownName(f"harness in {module_name}", attribute, known) from None
