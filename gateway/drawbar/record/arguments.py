"""Arguments of tool calls as both sides write them: when they are the same, and when they can be taken for the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import dump, load

_SCALAR: Final = re.compile(r"-?\d{1,15}(\.\d{1,15})?|true|false|null")
_FRACTION: Final = re.compile(rb"\d[.e]")
"""What a number that is no integer has in JSON."""
_DEEPEST: Final = 6
"""How far a call is looked for inside another one's arguments."""
_NAME: Final = re.compile(r"[\w./-]{1,256}")


def exact(arguments: Any) -> bytes:
    """The same for the same JSON value: the order of keys does not count, and 1.0 is 1."""
    plain = _key(_itself, arguments)
    return _key(_numbers, arguments) if _FRACTION.search(plain) else plain


def loose(arguments: Any) -> bytes:
    """The same, too, where one side leaves out what is null or empty, or writes a value as a text."""
    return _key(_plain, arguments)


def _itself(value: Any) -> Any:
    return value


def _key(form: Callable[[Any], Any], arguments: Any) -> bytes:
    try:
        return dump(form(arguments), sort=True)
    except (BadBody, RecursionError):
        return b"nested too deeply"


def agree(some: Any, others: Any) -> bool:
    """Whether one side's arguments are the other's and more: an agent fills in defaults, or leaves them out."""
    try:
        one, other = _plain(some), _plain(others)
    except RecursionError:
        return False
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    fewer, more = sorted((one, other), key=len)
    return all(key in more and dump([value], sort=True) == dump([more[key]], sort=True) for key, value in fewer.items())


def _numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip()
        if _SCALAR.fullmatch(text) or text[:1] in ("{", "["):
            inner = _loaded(text)
            return value.strip() if inner is None else _plain(inner) if not isinstance(inner, str) else inner
        return text
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        plain = {key: _plain(item) for key, item in value.items()}
        return {key: item for key, item in plain.items() if item is not None and item not in ("", [], {})}
    return _numbers(value)


def _loaded(text: str) -> Any:
    try:
        return load(text)
    except BadBody:
        return None


def inner_calls(
    arguments: Any, is_tool: Callable[[str], bool], depth: int = 0
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Calls that stand inside of another call's arguments: a name that is a tool's, and beside it its arguments.

    Some agents let their model call everything through one tool, `call(name, arguments)`, or several tools at once;
    the arguments may be an object or a text that holds one.
    """
    if isinstance(arguments, str):
        arguments = _loaded(arguments) if arguments.lstrip()[:1] in ("{", "[") else None
    if depth >= _DEEPEST or not isinstance(arguments, dict | list):
        return
    if isinstance(arguments, dict) and (call := _call(arguments, is_tool)) is not None:
        yield call
        return
    for value in arguments.values() if isinstance(arguments, dict) else arguments:
        yield from inner_calls(value, is_tool, depth + 1)


def _call(value: dict[str, Any], is_tool: Callable[[str], bool]) -> tuple[str, Mapping[str, Any]] | None:
    names = (v for v in value.values() if isinstance(v, str) and _NAME.fullmatch(v))
    name = next((name for name in names if is_tool(name)), None)
    inner = next((found for v in value.values() if isinstance(found := _object(v), dict)), None)
    if name is None or (inner is None and len(value) > 1):
        return None
    return name, inner or {}


def _object(value: Any) -> Any:
    return _loaded(value) if isinstance(value, str) and value.lstrip()[:1] == "{" else value
