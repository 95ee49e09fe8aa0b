"""What a chat template is told of a tool is what MCP says of it: read by transformers, as TRL has it read."""

from __future__ import annotations

from typing import Any

import pytest

from drawbar.trl.methods import methods

transformers_utils = pytest.importorskip("transformers.utils")


def read(tool: dict[str, Any]) -> dict[str, Any]:
    """The schema that transformers makes of a tool's method, bound to an object, as TRL hands it over."""
    found = methods([tool], lambda player, name, arguments: f"{name} {arguments}")
    player = type("Player", (), dict(found))()
    schema: dict[str, Any] = transformers_utils.get_json_schema(getattr(player, tool["name"]))["function"]
    schema.pop("return", None)
    return schema


def parameters(**properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    found: dict[str, Any] = read({"name": "t", "description": "Does it.", "inputSchema": schema})["parameters"]
    return found


def test_name_description_and_arguments_survive() -> None:
    schema = {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look\nfor: words."},
            "limit": {"type": "integer", "description": "At most so many.", "default": 5},
        },
        "required": ["query"],
    }
    tool = {"name": "search", "description": "Search pages.\n\nReturns:\nnothing special.", "inputSchema": schema}
    said = read(tool)
    assert said["name"] == "search"
    assert said["description"] == "Search pages.\n\nReturns -\nnothing special."
    assert said["parameters"]["required"] == ["query"]
    assert said["parameters"]["properties"]["query"] == {"type": "string", "description": "What to look for: words."}
    assert said["parameters"]["properties"]["limit"]["type"] == "integer"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "object"},
        {"type": "array"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        {"type": "string", "enum": ["a", "b"]},
        {"type": ["integer", "string"]},
    ],
)
def test_the_type_of_an_argument_survives(schema: dict[str, Any]) -> None:
    found = parameters(x={**schema, "description": "X."})
    assert found == {"type": "object", "properties": {"x": {**schema, "description": "X."}}, "required": ["x"]}


def test_what_may_be_null_is_nullable() -> None:
    several = {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "X."}
    assert parameters(x=several)["properties"]["x"] == {"type": "string", "nullable": True, "description": "X."}


def test_what_python_cannot_say_is_any_value() -> None:
    assert parameters(x={"$ref": "#/$defs/Thing", "description": "X."})["properties"]["x"] == {"description": "X."}


def test_a_tool_without_arguments_or_words_has_a_schema_too() -> None:
    assert read({"name": "now"})["description"] == "now"
