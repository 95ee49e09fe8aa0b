"""A tool server that is a child process: started when it is needed, started again when it died, never asked twice."""

from __future__ import annotations

import asyncio
import logging

import anyio

from drawbar.errors import ToolServerError
from drawbar.server import CommandServer
from drawbar.tools import protocol
from drawbar.tools.child import Child
from drawbar.tools.connection import RefusedByServer, ToolRequest
from drawbar.tools.listing import list_all
from drawbar.tools.protocol import CLIENT, Json
from drawbar.tools.warden import Warden

logger = logging.getLogger(__name__)

START_TIMEOUT = 60.0
"""Seconds from starting the program to the end of the handshake (launchers may download first)."""

_SHORT_LIFE = 10.0
"""A run of fewer seconds than this counts as a failed start."""
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0


class Stdio:
    """A connection to a program. A server that keeps state for one session says so when that state was lost."""

    def __init__(self, name: str, spec: CommandServer, warden: Warden) -> None:
        self._name = name
        self._spec = spec
        self._warden = warden
        self._child: Child | None = None
        self._modern = False
        self._starting = asyncio.Lock()
        self._started = 0.0
        self._failures = 0
        self._closed = False
        self.instructions: str | None = None

    async def open(self) -> None:
        """Start the program and shake hands."""
        async with self._starting:
            await self._start()

    async def tools(self) -> list[Json]:
        """Sorted by name: few servers promise an order."""
        child = await self._ready()
        found = await list_all(lambda params: child.request("tools/list", self._with_meta(params)))
        return sorted(found, key=lambda tool: str(tool.get("name")))

    async def call(self, request: ToolRequest) -> Json:
        """Sent once. A server that died between two calls is started again, and a session's own one says so."""
        child = await self._ready()
        params: Json = {"name": request.tool, "arguments": request.arguments, "_meta": dict(request.meta)}
        return await child.request("tools/call", self._with_meta(params), request.on_progress)

    async def close(self) -> None:
        """End the program and all it started."""
        self._closed = True
        async with self._starting:
            if self._child is not None:
                await self._child.stop()

    async def _ready(self) -> Child:
        if self._child is not None and self._child.alive:
            return self._child
        async with self._starting:
            if self._child is not None and self._child.alive:
                return self._child
            if self._child is not None:
                await self._mourn(self._child)
            return await self._start()

    async def _mourn(self, child: Child) -> None:
        """Note how it ended; where state is lost, tell the caller in place of going on as if nothing had been."""
        epitaph = child.epitaph()
        logger.warning("tool server %r %s", self._name, epitaph)
        short = asyncio.get_running_loop().time() - self._started < _SHORT_LIFE
        self._failures = self._failures + 1 if short else 0
        self._child = None
        if self._spec.scope == "session":
            await self._start()
            raise ToolServerError(
                f"Tool server {self._name!r} {epitaph}\nIt was started again; what it kept for this session is lost."
            )

    async def _start(self) -> Child:
        if self._closed:
            raise ToolServerError(f"Tool server {self._name!r} is closed.")
        if self._failures > 1:
            await asyncio.sleep(min(_FIRST_DELAY * 2 ** (self._failures - 2), _LONGEST_DELAY))
        self._started = asyncio.get_running_loop().time()
        try:
            self._child = await self._spawn()
        except ToolServerError:
            self._failures += 1
            raise
        return self._child

    async def _spawn(self) -> Child:
        child = await Child.spawn(self._name, self._spec, self._warden)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._shake_hands(child)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await child.stop()
            if isinstance(error, TimeoutError):
                raise ToolServerError(
                    f"Tool server {self._name!r} did not answer within {START_TIMEOUT:.0f} s of its start. "
                    f"It {child.epitaph()}"
                ) from error
            raise
        return child

    async def _shake_hands(self, child: Child) -> None:
        """The handshake, which every server but the newest knows; failing that, the revision without one."""
        try:
            hello = await child.request("initialize", protocol.initialize_params(CLIENT))
            self._modern = False
        except RefusedByServer as refused:
            try:
                hello = await child.request("server/discover", {"_meta": protocol.envelope(CLIENT)})
            except RefusedByServer:
                raise ToolServerError(f"Tool server {self._name!r} refused to begin: {refused}") from refused
            self._modern = True
        if not self._modern:
            await child.notify("notifications/initialized")
        self.instructions = hello.get("instructions")

    def _with_meta(self, params: Json) -> Json:
        if self._modern:
            params["_meta"] = {**params.get("_meta", {}), **protocol.envelope(CLIENT)}
        return params
