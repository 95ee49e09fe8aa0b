"""Which tool servers are open: the shared ones of each environment, and the ones that a session has for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from drawbar.errors import ConfigurationError, ToolServerError
from drawbar.server import CommandServer, PythonServer, ToolServer, UrlServer
from drawbar.tools.connection import Connection
from drawbar.tools.toolset import Member, Toolset, gather
from drawbar.tools.warden import Warden

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from drawbar.environment import Environment


class Pool:
    """Opens servers when they are first needed and closes what it opened."""

    def __init__(self) -> None:
        self._warden = Warden()
        self._http: ClientSession | None = None
        self._environments: dict[int, _Shared] = {}

    async def open(self, environment: Environment) -> tuple[Toolset, Sequence[Member]]:
        """The toolset of a new session, and the servers that are the session's own. Raises `ToolServerError`."""
        shared = self._environments.setdefault(id(environment), _Shared(environment))
        members = await shared.open(self)
        own = [
            Member(name, spec, self.connect(name, spec))
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

    def connect(self, name: str, spec: ToolServer) -> Connection:
        """A connection, not yet open, of the kind that the server needs."""
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

    async def close(self) -> None:
        """Close every shared server, and whatever was needed for any."""
        for shared in self._environments.values():
            await close_all(shared.members or ())
        self._environments.clear()
        await self._warden.close()
        if self._http is not None:
            await self._http.close()

    def _client(self) -> ClientSession:
        if self._http is None:
            from aiohttp import ClientSession, DummyCookieJar, TCPConnector

            self._http = ClientSession(connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar())
        return self._http


class _Shared:
    """The shared servers of one environment. It keeps the environment alive, so that its identity stays its own."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.specs: Mapping[str, ToolServer] = {}
        self.members: Sequence[Member] | None = None
        self._toolset: Toolset | None = None
        self._lock = asyncio.Lock()

    async def open(self, pool: Pool) -> Sequence[Member]:
        async with self._lock:
            if self.members is None:
                # Making servers out of functions imports the SDK: a second that no other session should wait for.
                self.specs = await to_thread.run_sync(self.environment.all_servers)
                members = [
                    Member(n, spec, pool.connect(n, spec)) for n, spec in self.specs.items() if spec.scope == "shared"
                ]
                await open_all(members)
                self.members = members
            return self.members

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
