"""The effective configuration as text: every setting with its source, secrets masked."""

from __future__ import annotations

import json
import math
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from drawbar.config.configuration import SECRET
from drawbar.config.reading import Effective
from drawbar.config.settings import Keys
from drawbar.hiding import MASK, shown_url
from drawbar.record.database import parse, shown

_URLS: Final = frozenset({"base_url", "url"})


def described(effective: Effective) -> list[tuple[str, str, str]]:
    """Every setting: its name, its value as TOML writes it, and where it comes from."""
    found: list[tuple[str, str, str]] = []
    _describe(effective, effective.configuration, (), found)
    return found


def as_text(effective: Effective) -> str:
    """One setting a line, in columns."""
    rows = described(effective)
    width = min(60, max(len(f"{name} = {value}") for name, value, _ in rows))
    return "\n".join(f"{f'{name} = {value}':<{width}}  # {source}" for name, value, source in rows)


def _describe(effective: Effective, table: Any, above: Keys, found: list[tuple[str, str, str]]) -> None:
    items = table.items() if isinstance(table, dict) else msgspec.structs.asdict(table).items()
    for name, value in items:
        keys = (*above, name)
        if isinstance(value, msgspec.Struct) or (
            isinstance(value, dict) and any(isinstance(each, msgspec.Struct) for each in value.values())
        ):
            _describe(effective, value, keys, found)
        elif value is not None or effective.source(*keys) != "default" or len(keys) == 1:
            found.append((".".join(keys), _toml(_masked(keys, value)), effective.source(*keys)))


def _masked(keys: Keys, value: Any) -> Any:
    if SECRET & set(keys):
        if isinstance(value, dict):
            return dict.fromkeys(value, MASK)
        return [MASK] * len(value) if isinstance(value, list) else value and MASK
    if keys[0] == "webhooks" and keys[-1] == "url":  # its path may be all that keeps others from it
        return f"{urlsplit(value).scheme}://{urlsplit(value).hostname}/{MASK}"
    if keys == ("store",):
        return shown(parse(value)) if "://" in value else value
    return shown_url(value) if keys[-1] in _URLS and value is not None else value


def _toml(value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return "inf" if value == math.inf else json.dumps(value, ensure_ascii=False)
