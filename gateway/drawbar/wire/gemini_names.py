"""Names of fields in the `gemini` dialect: each may be written in camelCase or in snake_case, and clients mix them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

_HUMP: Final = re.compile(r"[A-Z]")
_BAR: Final = re.compile(r"_([a-z0-9])")


@lru_cache(maxsize=256)
def snake(name: str) -> str:
    """`maxOutputTokens` -> `max_output_tokens`; for names of this dialect, which are few."""
    return _HUMP.sub(lambda found: "_" + found[0].lower(), name)


def camel(name: str) -> str:
    """`max_output_tokens` -> `maxOutputTokens`."""
    return _BAR.sub(lambda found: found[1].upper(), name) if "_" in name else name


def spelled(values: Mapping[str, Any], name: str) -> str:
    """The key under which these values have the field, or its camelCase name when they have it not."""
    other = snake(name)
    return other if name not in values and other in values else name


def get(values: Mapping[str, Any], name: str) -> Any:
    """The field's value, however its name is written; None where it is missing."""
    found = values.get(name)
    return values.get(snake(name)) if found is None else found
