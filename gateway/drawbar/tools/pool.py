"""Which tool servers are open: the shared ones of each environment, and the ones that a session has for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread

from drawbar.errors import ConfigurationError, ToolServerError
from drawbar.server import CassetteServer, CommandServer, PythonServer, ToolServer, UrlServer
from drawbar.tools.cassettes.deck import Deck, load_decks
from drawbar.tools.cassettes.recording import Recorded, Sink
from drawbar.tools.cassettes.replay import Replay
from drawbar.tools.cassettes.settings import Cassette
from drawbar.tools.connection import Connection
from drawbar.tools.protocol import Json
from drawbar.tools.toolset import Member, Toolset, gather
from drawbar.tools.warden import Warden

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from drawbar.environment import Environment
    from drawbar.record.redaction import Redact

_IDLE_CONNECTION: Final = 4.0
"""Seconds for which a connection to a server is kept without use. Many servers (uvicorn, Node) close theirs after five,
and a call that was just sent then has failed, although nobody may call it again."""


class Pool:
    """Opens servers when they are first needed and closes what it opened. `redact`: what cassettes are written with."""

    def __init__(self, redact: Redact | None = None) -> None:
        self.redact = redact
        self._sinks: dict[Path, Sink] = {}
        self._warden = Warden()
        self._http: ClientSession | None = None
        self._environments: dict[int, _Shared] = {}

    async def open(self, environment: Environment) -> tuple[Toolset, Sequence[Member]]:
        """The toolset of a new session, and the servers that are the session's own. Raises `ToolServerError`."""
        shared = self._environments.setdefault(id(environment), _Shared(environment))
        members = await shared.open(self)
        own = [
            Member(name, spec, shared.connect(self, name))
            for name, spec in shared.specs.items()
            if spec.scope == "session"
        ]
        if not own:
            return await shared.toolset(members), ()
        await open_all(own)
        try:
            by_name = {member.name: member for member in (*members, *own)}
            return await gather([by_name[name] for name in shared.specs], environment.observation), own
        except BaseException:
            await close_all(own)
            raise

    def decks_of_servers(self, environment: Environment) -> Mapping[str, Deck]:
        """The cassettes of an environment that stand in for servers, by these."""
        shared = self._environments.get(id(environment))
        return {} if shared is None else shared.decks

    def decks(self, environment: Environment) -> list[Deck]:
        """The cassettes that answer for servers of an environment whose sessions were opened here."""
        shared = self._environments.get(id(environment))
        return [] if shared is None else list({id(deck): deck for deck in shared.decks.values()}.values())

    def unrecorded(self, environment: Environment) -> str | None:
        """Why a cassette that is to be recorded of an environment lacks calls, if it does."""
        shared = self._environments.get(id(environment))
        paths = [] if shared is None else [Path(spec.record) for spec in shared.specs.values() if spec.record]
        return next((sink.failure for path in paths if (sink := self._sinks.get(path)) and sink.failure), None)

    def connect(self, name: str, spec: ToolServer) -> Connection:
        """A connection, not yet open, of the kind that the server needs; no cassette stands in for it."""
        match spec:
            case PythonServer():
                from drawbar.tools.in_process import InProcess

                return InProcess(name, spec.server)
            case CommandServer():
                from drawbar.tools.stdio import Stdio

                return Stdio(name, spec, self._warden)
            case UrlServer():
                from drawbar.tools.streamable_http import StreamableHttp

                return StreamableHttp(name, spec, self._client())
            case CassetteServer():
                raise ConfigurationError(f"Server {name!r} is a cassette alone: there is nothing to connect to.")

    def sink(self, path: Path, environment: str) -> Sink:
        """The cassette that is recorded into a file."""
        if path not in self._sinks:
            self._sinks[path] = Sink(path, environment, self.redact)
        return self._sinks[path]

    async def close(self) -> None:
        """Close every shared server, and whatever was needed for any."""
        for shared in self._environments.values():
            await close_all(shared.members or ())
        self._environments.clear()
        for sink in self._sinks.values():
            await sink.finish()
        await self._warden.close()
        if self._http is not None:
            await self._http.close()

    def _client(self) -> ClientSession:
        if self._http is None:
            from aiohttp import ClientSession, DummyCookieJar, TCPConnector

            connector = TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION)
            self._http = ClientSession(connector=connector, cookie_jar=DummyCookieJar())
        return self._http


async def listed_tools(environment: Environment, *, live: bool = True) -> dict[str, list[Json]]:
    """What every server of an environment lists. `live`: the servers themselves; otherwise a cassette, where one stands
    in. Raises `ToolServerError`, `ConfigurationError`."""
    pool = Pool()
    specs = await to_thread.run_sync(environment.all_servers)
    cassettes = {n: s.cassette for n, s in specs.items() if isinstance(s.cassette, Cassette) and not live}
    decks = await to_thread.run_sync(load_decks, cassettes)
    members = [
        Member(name, spec, Replay(name, decks[name], None) if name in decks else pool.connect(name, spec))
        for name, spec in specs.items()
        if name in decks or not isinstance(spec, CassetteServer)
    ]
    try:
        await open_all(members)
        return {member.name: await member.connection.tools() for member in members}
    finally:
        await close_all(members)
        await pool.close()


class _Shared:
    """The shared servers of one environment. It keeps the environment alive, so that its identity stays its own."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.specs: Mapping[str, ToolServer] = {}
        self.decks: Mapping[str, Deck] = {}
        self.members: Sequence[Member] | None = None
        self._toolset: Toolset | None = None
        self._lock = asyncio.Lock()

    async def open(self, pool: Pool) -> Sequence[Member]:
        async with self._lock:
            if self.members is None:
                # Making servers out of functions imports the SDK: a second that no other session should wait for.
                self.specs = await to_thread.run_sync(self.environment.all_servers)
                cassettes = {n: spec.cassette for n, spec in self.specs.items() if isinstance(spec.cassette, Cassette)}
                self.decks = await to_thread.run_sync(load_decks, cassettes, pool.redact)
                members = [
                    Member(n, spec, self.connect(pool, n)) for n, spec in self.specs.items() if spec.scope == "shared"
                ]
                await open_all(members)
                self.members = members
            return self.members

    def connect(self, pool: Pool, name: str) -> Connection:
        """A connection to the server, or to what stands in for it; recorded, if that is wanted."""
        spec, deck = self.specs[name], self.decks.get(name)
        if deck is None:
            connection = pool.connect(name, spec)
        else:
            live = pool.connect(name, spec) if deck.cassette.mode == "fall-through" else None
            connection = Replay(name, deck, live)
        if spec.record is None:
            return connection
        return Recorded(name, connection, pool.sink(Path(spec.record), self.environment.name), spec.timeout)

    async def toolset(self, members: Sequence[Member]) -> Toolset:
        async with self._lock:
            if self._toolset is None:
                self._toolset = await gather(members, self.environment.observation)
            return self._toolset


async def open_all(members: Sequence[Member]) -> None:
    """Open them at the same time; when one fails, none stays open. Raises that one's error."""
    failures: list[Exception] = []

    async def open_one(member: Member) -> None:
        try:
            await member.connection.open()
        except (ToolServerError, ConfigurationError) as error:
            failures.append(error)

    try:
        async with anyio.create_task_group() as group:
            for member in members:
                group.start_soon(open_one, member)
        if failures:
            raise failures[0]
    except BaseException:
        await close_all(members)
        raise


async def close_all(members: Sequence[Member]) -> None:
    """Close them at the same time, even while being cancelled."""
    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as group:
            for member in members:
                group.start_soon(member.connection.close)
