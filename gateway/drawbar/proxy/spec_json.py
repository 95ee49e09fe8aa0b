"""Session specs as JSON: what opens a session over the control API, written by one side and read by the other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson

from drawbar.errors import ConfigurationError
from drawbar.proxy.settings import hosted_tools
from drawbar.sessions import SessionSpec
from drawbar.task import Limits, Task

_STRINGS = ("environment", "run", "harness", "model", "user_model")
_NUMBERS = ("rollout", "attempt", "seed")
_OBJECTS = ("sampling", "metadata", "limits", "task")
_FLAGS = ("token_ids",)
_LISTS = ("withhold",)


def spec_to_json(spec: SessionSpec) -> bytes:
    """An object of the spec's own fields."""
    value: dict[str, Any] = {name: getattr(spec, name) for name in (*_STRINGS, *_NUMBERS, *_FLAGS)}
    value |= {name: dict(getattr(spec, name)) for name in ("sampling", "metadata")}
    value["withhold"] = sorted(spec.withhold)
    value["limits"] = asdict(spec.limits)
    value["task"] = None if spec.task is None else orjson.Fragment(spec.task.to_json())
    return orjson.dumps(value)


def spec_from_json(value: dict[str, Any]) -> SessionSpec:
    """The spec; every field may be missing. Raises `ConfigurationError`, naming the field."""
    known = {*_STRINGS, *_NUMBERS, *_OBJECTS, *_FLAGS, *_LISTS}
    unknown = sorted(set(value) - known)
    if unknown:
        raise ConfigurationError(f"A session has no {', '.join(unknown)}; it takes {', '.join(sorted(known))}.")
    given = {name: found for name, found in value.items() if found is not None}
    for names, kind, said in (
        (_STRINGS, str, "a string"),
        (_NUMBERS, int, "a whole number"),
        (_OBJECTS, dict, "an object"),
        (_FLAGS, bool, "true or false"),
        (_LISTS, list, "a list of names"),
    ):
        for name in names:
            if name in given and type(given[name]) is not kind:
                raise ConfigurationError(f"A session's {name} must be {said}.")
    try:
        if "limits" in given:
            given["limits"] = Limits(**given["limits"])
        if "task" in given:
            given["task"] = Task.from_json(orjson.dumps(given["task"]))
    except TypeError as error:
        raise ConfigurationError(f"A session's limits and task must be objects of known fields: {error}") from error
    if "withhold" in given:
        given["withhold"] = hosted_tools(map(str, given["withhold"]))
    return SessionSpec(**given)
