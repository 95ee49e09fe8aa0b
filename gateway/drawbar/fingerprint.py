"""A digest of what a function does, as far as its author's own code decides it.

It covers the function's source (comments, formatting and decorators do not count), its defaults, what it closes over,
and what it names: functions and classes of your own, and constants (numbers, strings, compiled patterns, frozen data
classes, tuples of those; lists, dicts and sets under an UPPER_CASE name, because others are state). It follows them
as far as they go. Your own means: in the same top-level package, or in a file outside the places where libraries are
installed. Not covered: libraries, the Python version, files that are read when it runs, and what is imported inside
of a function's body.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import sysconfig
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import orjson

from drawbar.ids import digest

_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes, Path)
_LIBRARIES: Final = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {sys.prefix, sys.base_prefix}
)


def fingerprint(value: Any) -> str:
    """20 hex digits that change when the value, or the code that it is made of, does."""
    return digest(orjson.dumps(_Walk(value).describe(value))).hex()[:20]


class _Walk:
    """One walk over a function and all that it uses; each thing is described where it is first met."""

    def __init__(self, start: Any) -> None:
        module = getattr(start, "__module__", None) or type(start).__module__
        self._package = module.partition(".")[0]
        self._met: dict[int, int] = {}
        self._kept: list[Any] = []  # what was met must live as long as its id stands for it

    def describe(self, value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return [type(value).__name__, repr(value)]
        if id(value) in self._met:
            return ["met", self._met[id(value)]]
        self._met[id(value)] = len(self._met)
        self._kept.append(value)
        return self._describe_new(value)

    def _describe_new(self, value: Any) -> Any:
        match value:
            case list() | tuple():
                return [type(value).__name__, [self.describe(item) for item in value]]
            case set() | frozenset():
                return ["set", sorted((self.describe(item) for item in value), key=orjson.dumps)]
            case Mapping():
                return ["dict", sorted(([repr(key), self.describe(item)] for key, item in value.items()), key=_first)]
            case re.Pattern():
                return ["pattern", repr(value.pattern), value.flags]
            case partial():
                return ["partial", *map(self.describe, (value.func, value.args, value.keywords))]
            case MethodType():
                return ["method", self.describe(value.__func__), self.describe(value.__self__)]
            case FunctionType():
                return self._function(value)
            case type():
                return self._class(value)
            case _:
                return self._instance(value)

    def _function(self, function: FunctionType) -> Any:
        cells = []
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            try:
                cells.append([name, self._used(name, cell.cell_contents, state=True)])
            except ValueError:  # not filled in yet
                continue
        return ["function", _source(function.__code__), self.describe(function.__defaults__),
                self.describe(function.__kwdefaults__), cells,
                [[name, self._used(name, value)] for name, value in self._globals(function)]]  # fmt: skip

    def _globals(self, function: FunctionType) -> Iterator[tuple[str, Any]]:
        names = sorted(_names(function.__code__))
        for name in names:
            if name not in function.__globals__:
                continue
            value = function.__globals__[name]
            if not isinstance(value, ModuleType):
                yield name, value
            elif self._is_own(value.__name__):
                yield from ((f"{name}.{used}", vars(value)[used]) for used in names if used in vars(value))

    def _used(self, name: str, value: Any, *, state: bool = False) -> Any:
        """What a function uses under a name. Of what is not its author's, and of state, the name is all that counts."""
        if isinstance(value, FunctionType | type):
            return self.describe(value) if self._is_own(value.__module__) else None
        if isinstance(value, list | dict | set) and not state and not name.rpartition(".")[2].isupper():
            return None
        return self.describe(value)

    def _class(self, kind: type) -> Any:
        if not self._is_own(kind.__module__):
            return ["class", kind.__module__, kind.__qualname__]
        members = [self.describe(member) for member in vars(kind).values() if isinstance(member, FunctionType)]
        return ["class", _source(kind), [self.describe(base) for base in kind.__bases__], members]

    def _instance(self, value: Any) -> Any:
        kind = type(value)
        if is_dataclass(value) and kind.__dataclass_params__.frozen:
            parts = {field.name: getattr(value, field.name) for field in fields(value) if field.compare}
            return [self.describe(kind), self.describe(parts)]
        if self._is_own(kind.__module__):
            return [self.describe(kind), self.describe(dict(getattr(value, "__dict__", {})))]
        return ["instance", kind.__module__, kind.__qualname__]

    def _is_own(self, module: str) -> bool:
        top = module.partition(".")[0]
        if top in ("drawbar", "builtins"):
            return False
        file = getattr(sys.modules.get(module), "__file__", None)
        return top == self._package or (file is not None and not file.startswith(_LIBRARIES))


def _names(code: CodeType) -> set[str]:
    nested = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_names, nested))


def _source(code: CodeType | type) -> str:
    """The source, formatted in one way; where there is none, the compiled code."""
    try:
        source = textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError):
        return _compiled(code) if isinstance(code, CodeType) else code.__qualname__
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a lambda, cut out of the middle of a statement
        return source
    if isinstance(tree.body[0], ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        tree.body[0].decorator_list = []
    return ast.unparse(tree)


def _compiled(code: CodeType) -> str:
    consts = [_compiled(const) if isinstance(const, CodeType) else repr(const) for const in code.co_consts]
    return repr((code.co_code.hex(), code.co_names, consts))


def _first(pair: list[Any]) -> str:
    return str(pair[0])
