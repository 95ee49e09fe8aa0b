"""Schemas of the `gemini` dialect in JSON Schema's words: the API writes its types in capitals."""

from __future__ import annotations

from typing import Any


def json_schema(value: Any) -> Any:
    """The schema, every type in lower case."""
    if isinstance(value, list):
        return [json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: json_schema(item) for key, item in value.items()}
    if isinstance(found.get("type"), str):
        found["type"] = found["type"].lower()
    return found
