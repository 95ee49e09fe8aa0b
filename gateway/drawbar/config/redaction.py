"""Redaction by patterns: what they match is recorded as the pattern's name in brackets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from drawbar.errors import ConfigurationError
from drawbar.record.redaction import Redact
from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import dump, load


def redaction(patterns: Mapping[str, str]) -> Redact | None:
    """The hook for the recorder; None without patterns.

    In JSON, each text is looked at by itself, as its reader sees it (escapes undone); names of fields and numbers stay.

    Raises:
        ConfigurationError: a pattern that is no regular expression, or that matches everywhere.
    """
    compiled = [(compiled_pattern(name, pattern), f"[{name}]") for name, pattern in patterns.items()]
    if not compiled:
        return None

    def replaced(text: str) -> str:
        for pattern, name in compiled:
            text = pattern.sub(lambda _, name=name: name, text)  # type: ignore[misc]
        return text

    def redact(body: bytes) -> bytes:
        try:
            value = load(body)
        except BadBody:
            value = None
        if not isinstance(value, str | list | dict):  # words, or a number that stands alone
            return replaced(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        kept = _each_text(value, replaced)
        return body if kept == value else dump(kept)

    return redact


def compiled_pattern(name: str, pattern: str) -> re.Pattern[str]:
    """A pattern of a configuration. Raises `ConfigurationError`, as `redaction`."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(f"redaction.{name}: {pattern!r} is no regular expression: {error}.") from error
    if compiled.match(""):
        raise ConfigurationError(f"redaction.{name}: {pattern!r} matches the empty text, and so everywhere.")
    return compiled


def _each_text(value: Any, replaced: Any) -> Any:
    if isinstance(value, str):
        return replaced(value)
    if isinstance(value, list):
        return [_each_text(each, replaced) for each in value]
    if isinstance(value, dict):
        return {name: _each_text(each, replaced) for name, each in value.items()}
    return value
