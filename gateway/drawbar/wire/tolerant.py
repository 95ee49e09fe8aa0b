"""JSON as the world sends it: read fast where it is proper, and still read where only its strings are not.

The fast parser refuses lone surrogates (half of an emoji that a stream or a careless cut has split) and very deep
nesting; the slow one takes them. What neither reads is no JSON.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from drawbar.wire.dialect import BadBody

DEEPEST: Final = 200
"""Levels of nesting in a message. Writers of JSON give up soon after, and a message is shown inside of other values."""
_LONGEST_INTEGER: Final = 20
"""Characters of the longest integer that the fast parser reads as one. Larger ones become floating-point numbers."""


def must_be_text(body: bytes) -> None:
    """Raises `BadBody` for bytes that are no UTF-8: who cuts JSON into slices does not look into its texts."""
    if body.isascii():
        return
    try:
        body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise BadBody(f"the body is not UTF-8: {error.reason} (byte {error.start})") from error


def load(data: bytes | str) -> Any:
    """The value of a JSON text. Raises `BadBody`."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data, parse_int=_integer)
        except (ValueError, RecursionError) as error:
            raise BadBody(f"not JSON: {error}") from error


def load_whole(data: bytes) -> Any:
    """The same, its texts whole, so that it can be written again. Raises `BadBody`."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return whole(load(data))


def load_message(data: bytes, *, mend: bool = False) -> Any:
    """A message as it was said; with `mend`, its texts whole. Raises `BadBody`, also where it is nested too deeply."""
    try:
        value, proper = orjson.loads(data), True
    except orjson.JSONDecodeError:
        value, proper = load(data), False
    if len(data) > 2 * DEEPEST and data.count(b"{") + data.count(b"[") > DEEPEST and depth(value) > DEEPEST:
        raise BadBody(f"it is nested more than {DEEPEST} levels deep")
    return whole(value) if mend and not proper else value


def load_object(data: bytes | str, what: str) -> dict[str, Any]:
    """A JSON object. Raises `BadBody`, naming `what` it was to be."""
    return an_object(load(data), what)


def an_object(value: Any, what: str) -> dict[str, Any]:
    """The value, which must be a JSON object. Raises `BadBody`, naming `what` it was to be."""
    if not isinstance(value, dict):
        raise BadBody(f"{what} must be a JSON object, not {_kind(value)}")
    return value


def dump(value: Any, *, sort: bool = False) -> bytes:
    """The JSON text of a value that `load` gave. Raises `BadBody` when it is nested too deeply to be written."""
    option = orjson.OPT_SORT_KEYS if sort else None
    try:
        return orjson.dumps(value, option=option)
    except TypeError:
        try:
            return orjson.dumps(whole(value), option=option)
        except TypeError as error:
            raise BadBody("it is nested too deeply") from error


def depth(value: Any) -> int:
    """Levels of nesting; 0 for what is neither list nor object."""
    levels, inside = 0, [value]
    while inside := [item for item in inside if isinstance(item, dict | list)]:
        levels += 1
        inside = [inner for item in inside for inner in (item.values() if isinstance(item, dict) else item)]
    return levels


def whole(value: Any) -> Any:
    """The value with halves of surrogate pairs that came together joined, and those that stayed alone replaced. Raises
    `BadBody` when it is nested too deeply."""
    try:
        return _whole(value)
    except RecursionError as error:
        raise BadBody("it is nested too deeply") from error


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value if _proper(value) else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value


def _integer(digits: str) -> int | float:
    value = int(digits) if len(digits) <= _LONGEST_INTEGER else None
    return value if value is not None and -(2**63) <= value < 2**64 else float(digits)


def _proper(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", type(None): "null", bool: "a boolean"}
    return names.get(type(value), "a number")
