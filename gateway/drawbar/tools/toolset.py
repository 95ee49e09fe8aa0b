"""The tools of an environment as a session sees them: those of all servers, each under a name of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from drawbar.errors import ToolServerError
from drawbar.server import ToolServer
from drawbar.tools.connection import Connection, RefusedByServer
from drawbar.tools.protocol import METHOD_NOT_FOUND, Json
from drawbar.tools.shaping import Observation, shape_tool

LIST_TIMEOUT = 60.0
"""Seconds that a server may take to list its tools. Sessions wait for it, and so would all of them for ever."""


@dataclass(frozen=True, slots=True)
class Member:
    """One open server of an environment."""

    name: str
    spec: ToolServer
    connection: Connection


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes."""

    member: Member
    tool: str
    """As the server names it."""
    schema: Json
    """The arguments' JSON schema, as the server gave it."""


@dataclass(frozen=True, slots=True)
class Toolset:
    """What `tools/list` answers, and where each of its tools is."""

    observation: Observation = "text"
    routes: Mapping[str, Route] = field(default_factory=dict)
    tools: Sequence[Json] = ()
    """The definitions as agents get them."""
    instructions: str | None = None


async def gather(members: Sequence[Member], observation: Observation) -> Toolset:
    """Ask every server for its tools, in the order of the servers and of their lists. Raises `ToolServerError`."""
    answers = await asyncio.gather(*(_tools_of(member) for member in members), return_exceptions=True)
    lists: list[list[Json]] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        lists.append(answer)
    pairs = [(member, tool) for member, tools in zip(members, lists, strict=True) for tool in tools]
    names = _names([(member.name, tool["name"]) for member, tool in pairs])
    return Toolset(
        observation=observation,
        routes={
            name: Route(member, tool["name"], tool.get("inputSchema") or {})
            for name, (member, tool) in zip(names, pairs, strict=True)
        },
        tools=[shape_tool(tool, name, observation) for name, (_, tool) in zip(names, pairs, strict=True)],
        instructions="\n\n".join(text for m in members if (text := m.connection.instructions)) or None,
    )


async def _tools_of(member: Member) -> list[Json]:
    try:
        async with asyncio.timeout(LIST_TIMEOUT):
            return await member.connection.tools()
    except TimeoutError as error:
        raise ToolServerError(
            f"Tool server {member.name!r} did not list its tools within {LIST_TIMEOUT:g} s."
        ) from error
    except RefusedByServer as refused:
        if refused.code == METHOD_NOT_FOUND:  # a server of prompts or resources alone
            return []
        raise ToolServerError(f"Tool server {member.name!r} does not list its tools: {refused}") from refused


def _names(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A name for each (server, tool): the tool's own, or `server_tool` where two servers have it; always unique."""
    pairs = list(pairs)
    count = Counter(tool for _, tool in set(pairs))
    taken = {tool for tool, servers in count.items() if servers == 1}
    names: list[str] = []
    for server, tool in pairs:
        name = tool if count[tool] == 1 else f"{server}_{tool}"
        base, number = name, 2
        while count[tool] > 1 and name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        names.append(name)
    return names
