"""JSON as the world sends it: read fast where it is proper, and still read where only its strings are not.

The fast parser refuses lone surrogates (half of an emoji that a stream or a careless cut has split) and very deep
nesting; the slow one takes them. What neither reads is no JSON.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from drawbar.wire.dialect import BadBody


def load(data: bytes | str) -> Any:
    """The value of a JSON text. Raises `BadBody`."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BadBody(f"not JSON: {error}") from error


def load_whole(data: bytes) -> Any:
    """The same, its texts whole, so that it can be written again. Raises `BadBody`."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return whole(load(data))


def load_object(data: bytes | str, what: str) -> dict[str, Any]:
    """A JSON object. Raises `BadBody`, naming `what` it was to be."""
    value = load(data)
    if not isinstance(value, dict):
        raise BadBody(f"{what} must be a JSON object, not {_kind(value)}")
    return value


def dump(value: Any, *, sort: bool = False) -> bytes:
    """The JSON text of a value that `load` gave. Raises `BadBody` when it is nested too deeply to be written."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort else None)
    except TypeError:
        try:
            return json.dumps(whole(value), sort_keys=sort, separators=(",", ":")).encode()
        except RecursionError as error:
            raise BadBody("it is nested too deeply") from error


def whole(value: Any) -> Any:
    """The value with halves of surrogate pairs that came together joined, and those that stayed alone replaced."""
    if isinstance(value, str):
        return value if _proper(value) else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {whole(key): whole(item) for key, item in value.items()}
    return value


def _proper(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", type(None): "null", bool: "a boolean"}
    return names.get(type(value), "a number")
