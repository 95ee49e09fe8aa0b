"""Tools that a provider runs by itself, out of the gateway's sight, and how a request reads without them.

What the client runs is never taken away: functions, custom tools, shells, editors, patches, and the use of a computer,
which every provider leaves to its client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from drawbar.wire.dialect import Request
from drawbar.wire.fields import items
from drawbar.wire.gemini_names import camel, spelled
from drawbar.wire.tolerant import dump, load

HOSTED_TOOLS: Final[Mapping[str, str]] = {
    "web_search": "searches the web",
    "web_fetch": "reads pages by their URL",
    "code_interpreter": "runs code on the provider's machines",
    "file_search": "searches files that the provider keeps",
    "image_generation": "makes images",
    "maps": "looks places up",
    "mcp": "asks MCP servers from the provider's machines",
}
"""The kinds of such tools, whatever a dialect calls them."""

_TYPES: Final = re.compile(
    r"(?P<web_search>web_search|browser_search|live_search|x_search)|(?P<web_fetch>web_fetch|url_context)"
    r"|(?P<code_interpreter>code_interpreter|code_execution)"
    r"|(?P<file_search>file_search|collections_search|document_library)"
    r"|(?P<image_generation>image_generation)|(?P<mcp>mcp)"
)
"""What the `type` of such a tool begins with; a version or a variant may follow."""
_GEMINI: Final = {
    "googleSearch": "web_search", "googleSearchRetrieval": "web_search", "enterpriseWebSearch": "web_search",
    "urlContext": "web_fetch", "codeExecution": "code_interpreter", "fileSearch": "file_search",
    "retrieval": "file_search", "googleMaps": "maps", "mcpServers": "mcp",
}  # fmt: skip
"""The fields of a tool in the `gemini` dialect."""
_BESIDE: Final[Mapping[str, Mapping[str, str]]] = {
    "chat": {"web_search_options": "web_search", "search_parameters": "web_search"},
    "messages": {"mcp_servers": "mcp"},
}
"""Fields of a request that stand for such a tool."""
_OF_TOOLS: Final = ("tool_choice", "parallel_tool_calls")
"""Fields that are refused where there are no tools."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """What of a request is kept from the provider."""

    names: tuple[str, ...]
    """The tools, as the request names them: by their types."""
    changes: Mapping[str, Any]
    """What the dialect's `patch` takes."""


def withhold(dialect: str, request: Request, kinds: frozenset[str]) -> Withheld | None:
    """The request without the provider's own tools of these kinds (`HOSTED_TOOLS`); None where it has none of them.
    Raises `BadBody`."""
    envelope = load(request.envelope)
    beside = _BESIDE.get(dialect, {})
    changes: dict[str, Any] = {name: None for name, kind in beside.items() if kind in kinds and envelope.get(name)}
    names = list(changes)
    if request.tools is not None:
        kept, gone = _gemini(request.tools, kinds) if dialect == "gemini" else _typed(request.tools, kinds)
        if gone:
            names += (_shown(name, type) for name, type in gone.items())
            changes |= _without(kept, gone, envelope, dialect)
    return Withheld(tuple(dict.fromkeys(names)), changes) if names else None


def _typed(tools: bytes, kinds: frozenset[str]) -> tuple[list[bytes], dict[str, str]]:
    """The tools that stay; and those that go: their types by their names."""
    kept: list[bytes] = []
    gone: dict[str, str] = {}
    for raw in items(tools if tools.startswith(b"[") else b"[]", "tools"):
        tool = load(raw)
        if _kind(tool) in kinds:
            gone[str(tool.get("name") or tool.get("server_label") or tool["type"])] = tool["type"]
        else:
            kept.append(raw)
    return kept, gone


def _shown(name: str, type: str) -> str:
    """A type says which tool it is, and in which version; of an MCP server, its name does."""
    return f"mcp {name}" if type == "mcp" != name else type


def _gemini(tools: bytes, kinds: frozenset[str]) -> tuple[list[bytes], dict[str, str]]:
    """One object may hold several tools, some of the client's among them."""
    kept: list[bytes] = []
    gone: dict[str, str] = {}
    for raw in items(tools if tools.startswith(b"[") else b"[" + tools + b"]", "tools"):  # a single one needs no list
        tool = load(raw)
        named = tool if isinstance(tool, dict) else {}
        mine = {name: name for name in named if _GEMINI.get(camel(name)) in kinds}
        gone |= mine
        if not mine:
            kept.append(raw)
        elif rest := {name: value for name, value in named.items() if name not in mine}:
            kept.append(dump(rest))
    return kept, gone


def _kind(tool: Any) -> str | None:
    """The kind of a provider's own tool; None for any other."""
    type = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(type, str):
        return None
    if type == "shell":  # in a container of the provider's, or where the client is
        place = tool.get("environment")
        place = place.get("type") if isinstance(place, dict) else None
        return "code_interpreter" if isinstance(place, str) and place.startswith("container") else None
    found = _TYPES.match(type.removeprefix("openrouter:"))
    return found.lastgroup if found is not None else None


def _without(
    kept: Sequence[bytes], gone: Mapping[str, str], envelope: Mapping[str, Any], dialect: str
) -> dict[str, Any]:
    """The changes that leave these tools, and no mention of the others."""
    config = spelled(envelope, "toolConfig")
    if kept:
        changes: dict[str, Any] = {"tools": orjson.Fragment(b"[" + b",".join(kept) + b"]")}
        if dialect == "gemini":
            return changes
        choice = envelope.get("tool_choice")
        left = _choice(choice, gone)
        return changes if left == choice else {**changes, "tool_choice": left}
    of_tools = (config,) if dialect == "gemini" else _OF_TOOLS
    return {"tools": None, **{name: None for name in of_tools if name in envelope}}


def _choice(choice: Any, gone: Mapping[str, str]) -> Any:
    """A choice among tools, without those that are gone; None where nothing is left of it."""
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") == "allowed_tools":
        inner = choice.get("allowed_tools")
        if isinstance(inner, dict):
            left = _allowed(inner, gone)
            return None if left is None else {**choice, "allowed_tools": left}
        return _allowed(choice, gone)
    return None if _is_gone(choice, gone) else choice


def _allowed(choice: Mapping[str, Any], gone: Mapping[str, str]) -> dict[str, Any] | None:
    tools = choice.get("tools")
    left = [tool for tool in tools if not _is_gone(tool, gone)] if isinstance(tools, list) else []
    return {**choice, "tools": left} if left else None


def _is_gone(choice: Any, gone: Mapping[str, str]) -> bool:
    """Chosen by its type, or (`messages`) by its name."""
    if not isinstance(choice, dict):
        return False
    type = choice.get("type")
    if type in ("tool", "mcp"):
        return str(choice.get("name" if type == "tool" else "server_label")) in gone
    return type in gone.values()


def kinds_of(names: Iterable[str]) -> frozenset[str]:
    """The kinds that these names stand for; `all` stands for every one. Raises `ValueError`, which names the others."""
    asked = {name.strip() for name in names if name.strip()}
    if unknown := sorted(asked - {"all", *HOSTED_TOOLS}):
        raise ValueError(f"There is no kind {', '.join(unknown)}; there are {', '.join(HOSTED_TOOLS)}, and all.")
    return frozenset(HOSTED_TOOLS) if "all" in asked else frozenset(asked)
