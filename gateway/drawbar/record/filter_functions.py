"""What SQLite and PostgreSQL say in different words, each once. Case counts on both."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, Integer, bindparam, case, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_SPECIAL_HERE = "*?["
_SPECIAL_THERE = "\\"


class position(FunctionElement[int]):  # noqa: N801 - reads as the function that it is
    """Where a text has another in it for the first time, from 1; 0: nowhere."""

    type = Integer()
    inherit_cache = True


@compiles(position)
def _instr(element: Any, compiler: Any, **given: Any) -> str:
    return f"instr({compiler.process(element.clauses, **given)})"


@compiles(position, "postgresql")
def _strpos(element: Any, compiler: Any, **given: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **given)})"


class matches(FunctionElement[bool]):  # noqa: N801
    """Whether the whole of a text is as a pattern says; the pattern comes twice, as each database wants it."""

    type = Boolean()
    inherit_cache = True


@compiles(matches)
def _glob(element: Any, compiler: Any, **given: Any) -> str:
    text, pattern, _ = element.clauses
    return f"({compiler.process(text, **given)} GLOB {compiler.process(pattern, **given)})"


@compiles(matches, "postgresql")
def _like(element: Any, compiler: Any, **given: Any) -> str:
    text, _, pattern = element.clauses
    return f"({compiler.process(text, **given)} LIKE {compiler.process(pattern, **given)})"


class floored(FunctionElement[int]):  # noqa: N801
    """The whole number below a positive one."""

    type = BigInteger()
    inherit_cache = True


@compiles(floored)
def _cast(element: Any, compiler: Any, **given: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **given)} AS INTEGER)"


@compiles(floored, "postgresql")
def _floor(element: Any, compiler: Any, **given: Any) -> str:
    return f"CAST(floor({compiler.process(element.clauses, **given)}) AS BIGINT)"


def contains(text: ColumnElement[str], part: str) -> ColumnElement[bool]:
    """Whether a text has another in it."""
    return position(text, bindparam(None, part)) > 0


def before_slash(text: ColumnElement[str]) -> ColumnElement[str]:
    """What stands before the first `/`; all of a text without one."""
    slash = position(text, literal_column("'/'"))
    return case((slash > 0, func.substr(text, 1, slash - 1)), else_=text)


def like(text: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Whether the whole text is as the pattern says: `%` stands for any characters, `_` for one."""
    here = "".join(f"[{c}]" if c in _SPECIAL_HERE else {"%": "*", "_": "?"}.get(c, c) for c in pattern)
    there = "".join(f"\\{c}" if c in _SPECIAL_THERE else c for c in pattern)
    return matches(text, bindparam(None, here), bindparam(None, there))
