"""Which tools the agents of many sessions had: their schemas as the models saw them, how these changed, and whose each
tool is. A tool that a model was offered is of a server if calls of it came through the gateway; else its agent's own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import orjson

from drawbar.capture.calls import OWN, Used, used_names
from drawbar.ids import digest
from drawbar.tools.cassettes.format import Recording
from drawbar.tools.cassettes.stored import Tools
from drawbar.trajectory import Call, Trajectory
from drawbar.wire.dialect import BadBody
from drawbar.wire.offered import offered

T = TypeVar("T")

AGENT: Final = "agent"
"""The server that stands for what agents ran by themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A tool as a request offered it; one object for each request that is like no other."""

    name: str
    description: str
    arguments: Mapping[str, Any]
    """JSON schema of an object."""
    free: bool = False
    """It takes a text of its own grammar; here that is its one argument."""

    @property
    def digest(self) -> bytes:
        """The same for what does not differ."""
        return digest(orjson.dumps([self.description, self.arguments], option=orjson.OPT_SORT_KEYS))


@dataclass(slots=True)
class Version:
    """A tool as some sessions saw it."""

    tool: Schema
    first: float
    last: float
    sessions: int = 0

    def to_json(self) -> dict[str, Any]:
        """For `tools.json`. Times are unix seconds."""
        seen = {"first": self.first, "last": self.last, "sessions": self.sessions}
        return {"description": self.tool.description, "inputSchema": self.tool.arguments, **seen}


@dataclass(slots=True)
class Tool:
    """A tool of the environment."""

    server: str
    name: str
    called: set[str] = field(default_factory=set)
    """What models called it."""
    versions: list[Version] = field(default_factory=list)
    """As it was seen, in order; the last is the newest."""
    arguments: dict[str, None] = field(default_factory=dict)
    """Names of arguments in recorded calls."""
    calls: int = 0
    errors: int = 0
    listed: Mapping[str, Any] | None = None
    """As its server lists it now, if that was asked."""
    reconstructed: int = 0
    """Calls that are known by the model's messages alone."""

    @property
    def definition(self) -> dict[str, Any]:
        """As a server lists it: its server's word, or else as models saw it last, or else what its calls show."""
        if self.listed is not None:
            return dict(self.listed)
        if self.versions:
            newest = self.versions[-1].tool
            return {"name": self.name, "description": newest.description, "inputSchema": dict(newest.arguments)}
        return {"name": self.name, "inputSchema": {"type": "object", "properties": {key: {} for key in self.arguments}}}

    def to_json(self) -> dict[str, Any]:
        """For `tools.json`."""
        schema = "server" if self.listed is not None else "offered" if self.versions else "arguments of calls"
        found = {**self.definition, "schema_from": schema, "calls": self.calls, "errors": self.errors,
                 "seen_as": sorted(self.called)}  # fmt: skip
        if self.reconstructed:
            found |= {"reconstructed": True, "reconstructed_calls": self.reconstructed}
        if len(self.versions) > 1:
            found["versions"] = [version.to_json() for version in self.versions]
        return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one session's model was offered, and which tools of servers it used."""

    started: float
    offers: tuple[Schema, ...]
    used: tuple[Used, ...]


class Catalogue:
    """Fills up session by session; `homes` then says what there is."""

    def __init__(self, listed: Tools | None = None) -> None:
        """`listed`: what servers say of their tools, if they were asked."""
        self.listed = listed or {}
        self._read: dict[tuple[str, bytes], tuple[Schema, ...]] = {}
        self._seen: dict[str, _Seen] = {}
        self._sets: dict[Any, Any] = {}

    def note(self, trajectory: Trajectory) -> set[str]:
        """Read what a session's requests offered; the names of tools that take a text."""
        lists = {tools: None for call in trajectory.calls if (tools := self._offered(call))}
        offers = tuple({tool.name: tool for tools in lists for tool in tools}.values())
        used = tuple(used_names(trajectory))
        self._seen[trajectory.id] = _Seen(trajectory.started, self._once(offers), self._once(used))
        return {tool.name for tool in offers if tool.free}

    def _once(self, value: T) -> T:
        """Most sessions are offered the same: what is equal is kept once."""
        found: T = self._sets.setdefault(value, value)
        return found

    def _offered(self, call: Call) -> tuple[Schema, ...]:
        if call.tools is None:
            return ()
        key = call.dialect, digest(call.tools)
        if key not in self._read:
            self._read[key] = tuple(_schemas(call.dialect, call.tools))
        return self._read[key]

    def homes(self, sessions: Iterable[str], recordings: Iterable[Recording]) -> Homes:
        """Whose each tool of these sessions is, and what its calls were."""
        seen = [self._seen[session] for session in sessions]
        used = dict.fromkeys(used for each in seen for used in each.used)
        homes = Homes({use.name: use for use in used}, {*(use.server for use in used), *self.listed})
        homes.sets = len({frozenset(tool.name for tool in each.offers) for each in seen if each.offers})
        for use in used:
            homes.tool(use.server, use.tool).called.add(use.name)
        for recording in recordings:
            homes.count(recording)
        for name, versions in _versions(seen).items():
            tool = homes.of_offered(name)
            tool.called.add(name)
            tool.versions = _in_order([*tool.versions, *versions])
        for server, listed in self.listed.items():
            for each in listed:
                homes.tool(server, str(each["name"])).listed = each
        return homes


def _versions(seen: Iterable[_Seen]) -> dict[str, list[Version]]:
    """The states of each tool that was offered, by its name."""
    found: dict[str, dict[int, Version]] = defaultdict(dict)
    for each in seen:
        for tool in each.offers:
            version = found[tool.name].setdefault(id(tool), Version(tool, each.started, each.started))
            version.first, version.last = min(version.first, each.started), max(version.last, each.started)
            version.sessions += 1
    return {name: list(versions.values()) for name, versions in found.items()}


def _schemas(dialect: str, tools: bytes) -> Iterator[Schema]:
    """The functions of a request, as far as it can be read."""
    try:
        found = offered(dialect, tools)
    except BadBody:
        return
    for each in found.tools:
        function = each["function"]
        name, described, schema = (function.get(field) for field in ("name", "description", "parameters"))
        schema = schema if isinstance(schema, dict) and schema.get("type") in (None, "object") else {}
        if isinstance(name, str) and name:
            arguments = {"type": "object", "properties": {}, **schema}
            yield Schema(name, described if isinstance(described, str) else "", arguments, name in found.texts)


def _in_order(versions: Iterable[Version]) -> list[Version]:
    """By when they were last seen; what differs in nothing is one."""
    found: dict[bytes, Version] = {}
    for version in sorted(versions, key=lambda version: (version.last, version.first)):
        same = found.pop(version.tool.digest, None)
        if same is not None:
            version.first, version.sessions = min(version.first, same.first), version.sessions + same.sessions
        found[version.tool.digest] = version
    return list(found.values())


class Homes:
    """The servers of the environment, and which of them each tool is at."""

    def __init__(self, served: Mapping[str, Used], servers: Iterable[str]) -> None:
        """`served`: tools of servers by what models call them."""
        self._served = served
        self.agent = next(name for name in (AGENT, *(f"{AGENT}{n}" for n in range(2, 99))) if name not in servers)
        self.tools: dict[tuple[str, str], Tool] = {}
        self.sets = 0
        """Different sets of tools that sessions were offered."""

    def tool(self, server: str, name: str) -> Tool:
        """The tool of this name at a server."""
        return self.tools.setdefault((server, name), Tool(server, name))

    def placed(self, recording: Recording) -> tuple[str, str]:
        """The server and the tool of a recorded call. A tool that other sessions called through the gateway is the
        same where an agent called it by itself."""
        if recording.server != OWN:
            return recording.server, recording.tool
        used = self._served.get(recording.tool)
        return (self.agent, recording.tool) if used is None else (used.server, used.tool)

    def count(self, recording: Recording) -> None:
        """A call that the environment has."""
        tool = self.tool(*self.placed(recording))
        tool.calls += 1
        tool.reconstructed += recording.server == OWN
        tool.errors += recording.error is not None or b'"isError":true' in bytes(recording.result)
        tool.arguments |= dict.fromkeys(recording.arguments)

    def of_offered(self, name: str) -> Tool:
        """The tool that models were offered under a name. One that nobody called is of the server whose tools have its
        prefix, or of the only one that there is; else its agent's own."""
        used = self._served.get(name)
        if used is not None:
            return self.tool(used.server, used.tool)
        if (self.agent, name) in self.tools:
            return self.tool(self.agent, name)
        prefixes = {use.name.removesuffix(use.tool): use.server for use in self._served.values()}
        prefix = max((p for p in prefixes if p and name.startswith(p)), key=len, default="")
        if prefix:
            return self.tool(prefixes[prefix], name.removeprefix(prefix))
        servers = {server for server, _ in self.tools}
        alone = len(servers) == 1 and self.agent not in servers and set(prefixes) == {""}
        return self.tool(servers.pop() if alone else self.agent, name)

    def servers(self) -> dict[str, list[Tool]]:
        """The tools of the environment by server, in the order of their names.

        What an agent had of its own beside the tools of servers, and never called, is none of the environment's.
        """
        found = self._all()
        if len(found) > 1 and not any(tool.calls for tool in found.get(self.agent, ())):
            found.pop(self.agent, None)
        return found

    def _all(self) -> dict[str, list[Tool]]:
        found: dict[str, list[Tool]] = defaultdict(list)
        for _, tool in sorted(self.tools.items()):
            found[tool.server].append(tool)
        return dict(found)

    def header(self) -> dict[str, dict[str, Any]]:
        """A cassette's servers."""
        servers = {server: {"tools": [tool.definition for tool in tools]} for server, tools in self.servers().items()}
        if self.agent in servers:
            return {**servers, self.agent: {**servers[self.agent], "reconstructed": True}}
        return servers

    def to_json(self) -> dict[str, Any]:
        """`tools.json`: the tools of each server."""
        served = self.servers()
        return {
            server: {
                "reconstructed": server == self.agent,
                **({} if server in served else {"left_out": "never called, beside the tools of servers"}),
                "tools": [tool.to_json() for tool in tools],
            }
            for server, tools in self._all().items()
        }


def counted(recordings: Iterable[Recording]) -> tuple[Counter[str], int]:
    """How often each tool was called, by `server.tool`, and how many calls failed."""
    found: Counter[str] = Counter()
    errors = 0
    for each in recordings:
        found[f"{each.server or AGENT}.{each.tool}"] += 1
        errors += each.error is not None or b'"isError":true' in bytes(each.result)
    return found, errors
