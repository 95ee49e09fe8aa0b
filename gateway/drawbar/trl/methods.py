"""An environment's tools as methods of a class: what TRL and transformers read of a Python function says what MCP said.

TRL takes every public method of an environment for a tool, and transformers makes its JSON schema from the signature,
the type hints and the `Args:` of the docstring (`transformers.utils.get_json_schema`).
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import or_
from types import FunctionType, GenericAlias
from typing import Any, Final, Literal

from drawbar.errors import ConfigurationError

_OWN: Final = ("reset", "get_reward")
"""Methods that TRL calls itself."""
_TYPES: Final[Mapping[str, Any]] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict, "null": type(None),
}  # fmt: skip
_SECTION: Final = re.compile(r"(?m)^([ \t]*)(Args|Returns|Raises):[ \t]*$")

Json = Mapping[str, Any]
Call = Callable[[Any, str, dict[str, Any]], str]
"""Calls a tool for an object: the object, the tool's name, its arguments."""


def methods(tools: Iterable[Json], call: Call) -> dict[str, FunctionType]:
    """A method for each definition of a tool.

    Raises:
        ConfigurationError: a name that no method or parameter of Python's can have.
    """
    return {str(tool["name"]): _method(tool, call) for tool in tools}


def _method(tool: Json, call: Call) -> FunctionType:
    name = str(tool["name"])
    if name in _OWN or name.startswith("_"):
        raise ConfigurationError(f"Tool {name!r} cannot be offered by TRL, which calls {', '.join(_OWN)} itself.")
    schema = tool.get("inputSchema") or {}
    given: Mapping[str, Json] = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    for parameter in given:
        if not parameter.isidentifier() or keyword.iskeyword(parameter) or parameter == "self":
            raise ConfigurationError(
                f"Tool {name!r} has an argument {parameter!r}, which no Python method can have, and TRL takes tools as "
                "methods. Wrap the tool in one with another name."
            )

    def method(self: Any, **arguments: Any) -> str:
        return call(self, name, arguments)

    hints = {parameter: _hint(said, parameter in required) for parameter, said in given.items()}
    parameters = [
        inspect.Parameter(
            parameter,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[parameter],
            default=inspect.Parameter.empty if parameter in required else said.get("default"),
        )
        for parameter, said in given.items()
    ]
    receiver = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    described: Any = method
    described.__name__ = described.__qualname__ = name
    described.__doc__ = _docstring(tool, given)
    described.__annotations__ = {**hints, "return": str}
    described.__signature__ = inspect.Signature([receiver, *parameters], return_annotation=str)
    assert isinstance(method, FunctionType)
    return method


def _hint(schema: Json, required: bool) -> Any:
    """The type hint from which transformers makes the same schema, or one that allows as much."""
    found = _type(schema)
    return found if required or found is Any or _allows_null(schema) else found | None


def _type(schema: Json) -> Any:
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(values, list) and values and all(type(value) in (str, int, float, bool) for value in values):
        return Literal[tuple(values)]
    several = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(several, list) and several:
        return _union([_type(one) for one in several if isinstance(one, dict)])
    kind = schema.get("type")
    if isinstance(kind, list):
        return _union([_type({**schema, "type": one}) for one in kind])
    inner = schema.get("items")
    if kind == "array" and isinstance(inner, dict) and (item := _type(inner)) is not Any:
        return GenericAlias(list, item)
    return _TYPES.get(str(kind), Any)


def _union(types: list[Any]) -> Any:
    return Any if not types or Any in types else reduce(or_, types)


def _allows_null(schema: Json) -> bool:
    several = schema.get("anyOf") or schema.get("oneOf") or ()
    return schema.get("type") == "null" or any(one.get("type") == "null" for one in several if isinstance(one, dict))


def _docstring(tool: Json, given: Mapping[str, Json]) -> str:
    # A line of the description that looks like a section would end the description for transformers.
    said = _SECTION.sub(r"\1\2 -", inspect.cleandoc(str(tool.get("description") or tool["name"])))
    lines = [said]
    if given:
        lines += ["", "Args:"]
        for parameter, schema in given.items():
            words = " ".join(str(schema.get("description") or schema.get("title") or parameter).split())
            lines.append(f"    {parameter}: {words}")
    return "\n".join(lines)
