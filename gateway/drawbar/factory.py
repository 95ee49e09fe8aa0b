"""Calling a function that makes an environment with options from the command line: texts, turned into what it asks
for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from drawbar.errors import ConfigurationError, UnknownName

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def call_factory(function: Callable[..., Any], options: Mapping[str, str], where: str) -> Any:
    """The function's result. An option may be written with `-` for `_`.

    Raises:
        UnknownName: an option that the function does not take.
        ConfigurationError: a value that its annotation does not fit, or an option that it needs and did not get.
    """
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    named = {name: p for name, p in parameters.items() if p.kind not in _VARIADIC}
    hints = _hints(function)
    given: dict[str, Any] = {}
    for option, text in options.items():
        name = option.replace("-", "_")
        if name not in named and not takes_any:
            raise UnknownName(f"option of {where}", option, named)
        given[name] = _converted(text, hints.get(name, str), f"Option {option!r} of {where}")
    missing = [name for name, p in named.items() if p.default is inspect.Parameter.empty and name not in given]
    if missing:
        raise ConfigurationError(f"{where} needs the option {missing[0]!r}: add --env-option {missing[0]}=...")
    return function(**given)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except (NameError, TypeError):  # an annotation that exists for type checkers alone
        return {}


def _converted(text: str, hint: Any, what: str) -> Any:
    choices = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [kind for kind in choices if kind is not NoneType]
    if NoneType in choices and text.lower() in ("none", "null", ""):
        return None
    for kind in kinds:
        try:
            return _as(text, kind)
        except (ValueError, KeyError):
            continue
    raise ConfigurationError(f"{what} is {' or '.join(map(_described, kinds))}, not {text!r}.{_meant(text, kinds)}")


def _described(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(repr(str(choice)) for choice in get_args(kind))
    words = {int: "a whole number", float: "a number", bool: "yes or no"}
    return words.get(kind) or str(getattr(kind, "__name__", kind))


def _meant(text: str, kinds: Sequence[Any]) -> str:
    """The choices that come nearest."""
    choices = [str(choice) for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    near = get_close_matches(text, choices, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def _as(text: str, kind: Any) -> Any:
    if get_origin(kind) is Literal:
        return {str(choice): choice for choice in get_args(kind)}[text]
    if kind is bool:
        return _WORDS[text.lower()]
    return kind(text) if kind in (int, float, Path) else text
