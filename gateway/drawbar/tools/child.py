"""One run of a tool server as a child process: from its start to its last words. Knows JSON lines, not tools."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import orjson

from drawbar.errors import ToolServerError
from drawbar.hiding import hidden, secret_values
from drawbar.server import CommandServer
from drawbar.tools import protocol
from drawbar.tools.connection import OnProgress
from drawbar.tools.peer import Peer
from drawbar.tools.protocol import Json
from drawbar.tools.warden import Warden, kill_group
from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import load_whole

logger = logging.getLogger(__name__)

INHERITED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
"""What a child has of our environment without being named in `pass_env`."""

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one message, beyond which a server is taken to be broken."""

_GRACE = 1.0
"""Seconds between closing its input, the polite signal and the last one."""


class Child:
    """A running server. Use `spawn`."""

    def __init__(self, name: str, process: Process, warden: Warden, secrets: Sequence[str]) -> None:
        self._name = name
        self._process = process
        self._warden = warden
        self._peer = Peer()
        self._secrets = secrets
        self._last_words: deque[str] = deque(maxlen=12)
        self._listener = asyncio.create_task(self._listen_to_errors())
        self._owner = asyncio.create_task(self._own())
        self._stopping = False

    @classmethod
    async def spawn(cls, name: str, spec: CommandServer, warden: Warden) -> Child:
        """Start the program in a process group of its own. Raises `ToolServerError`."""
        environment = _environment(name, spec)
        program = _program(name, spec, environment)
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *spec.command[1:],
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=environment,
                cwd=spec.cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolServerError(
                f"Tool server {name!r}: cannot start {program!r}: {error.strerror or error}."
            ) from error
        warden.guard(process.pid)
        return cls(name, process, warden, secret_values({**spec.env, **_passed(spec)}))

    @property
    def alive(self) -> bool:
        """Whether requests may go to it."""
        return not self._owner.done() and self._process.returncode is None

    async def request(self, method: str, params: Json, on_progress: OnProgress | None = None) -> Json:
        """Ask and wait. Raises `RefusedByServer`; `ToolServerError` when the process dies first."""
        id, message = self._peer.request(method, params, on_progress)
        try:
            await self._write(message)
            return await self._peer.answer(id)
        except asyncio.CancelledError:
            if method != "initialize":  # the one request that must not be cancelled
                self._write_soon(protocol.notification("notifications/cancelled", {"requestId": id}))
            raise
        finally:
            self._peer.forget(id)

    async def notify(self, method: str) -> None:
        """Say something that has no answer."""
        await self._write(protocol.notification(method))

    async def stop(self) -> None:
        """End it: its input closed, then the polite signal, then the last one, each to the whole group."""
        self._stopping = True
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        for how in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
            done, _ = await asyncio.wait((self._owner,), timeout=_GRACE)
            if done:
                return
            kill_group(self._process.pid, how)
        self._owner.cancel()
        await asyncio.wait((self._owner,))

    def epitaph(self) -> str:
        """How it ended and what it last said."""
        code = self._process.returncode
        if code is None:
            how = "closed its output"
        elif code < 0:
            how = f"was killed by signal {-code} ({signal.Signals(-code).name})"
        else:
            how = f"exited with code {code}"
        said = hidden("\n".join(self._last_words), self._secrets)
        return how + (f". The last it said:\n{said}" if said else " without a word")

    def death(self) -> ToolServerError:
        """The same as an error to raise."""
        return ToolServerError(f"Tool server {self._name!r} {self.epitaph()}")

    async def _own(self) -> None:
        """Read what it says until it ends, then bury it."""
        try:
            await self._read()
        finally:
            kill_group(self._process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            self._warden.release(self._process.pid)
            with suppress(TimeoutError):
                async with asyncio.timeout(_GRACE):
                    await asyncio.wait((self._listener,))
                    await self._process.wait()
            self._listener.cancel()
            self._peer.fail(self.death)
            _close_pipes(self._process)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            async for line in _lines(self._process.stdout):
                try:
                    message = load_whole(line)
                except BadBody:
                    self._last_words.append(
                        line[:500].decode(errors="replace")
                    )  # print() in a server: it may say why it dies
                    continue
                if (reply := self._peer.take(message)) is not None:
                    await self._write(reply)
        except (OSError, ToolServerError, ValueError) as error:
            if not self._stopping:
                logger.warning("tool server %r: %s", self._name, error)
                self._last_words.append(str(error))

    async def _listen_to_errors(self) -> None:
        assert self._process.stderr is not None
        async for line in _lines(self._process.stderr):
            self._last_words.append(line[:500].decode(errors="replace"))

    async def _write(self, message: Json) -> None:
        if not self.alive:
            raise self.death()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(orjson.dumps(message) + b"\n")
            await self._process.stdin.drain()
        except OSError as error:
            # It is dying. Wait for its end, which says more than a broken pipe.
            await asyncio.wait((self._owner,), timeout=2 * _GRACE)
            raise self.death() from error

    def _write_soon(self, message: Json) -> None:
        """Without waiting for it to be read: the caller is being cancelled."""
        assert self._process.stdin is not None
        with suppress(OSError, RuntimeError):
            if self.alive and not self._process.stdin.is_closing():
                self._process.stdin.write(orjson.dumps(message) + b"\n")


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length up to `MAX_MESSAGE`, each byte looked at once."""
    parts: list[bytes] = []
    size = 0
    while chunk := await stream.read(1 << 18):
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            line = b"".join((*parts, piece)) if parts else piece
            parts, size = [], 0
            if line.strip():
                yield line
        if rest:
            parts.append(rest)
            size += len(rest)
            if size > MAX_MESSAGE:
                raise ToolServerError(f"it sent a message of more than {MAX_MESSAGE:,} bytes")
    if parts:
        yield b"".join(parts)


def _environment(name: str, spec: CommandServer) -> dict[str, str]:
    missing = [key for key in spec.pass_env if key not in os.environ]
    if missing:
        raise ToolServerError(
            f"Tool server {name!r} asks for the environment variable {missing[0]} (`pass_env`), which is not set."
        )
    ours = {key: os.environ[key] for key in INHERITED if key in os.environ}
    return {**ours, **_passed(spec), **spec.env}


def _passed(spec: CommandServer) -> dict[str, str]:
    return {key: os.environ[key] for key in spec.pass_env if key in os.environ}


def _program(name: str, spec: CommandServer, environment: dict[str, str]) -> str:
    program = spec.command[0]
    if spec.cwd is not None and not Path(spec.cwd).is_dir():
        raise ToolServerError(f"Tool server {name!r}: its directory {str(spec.cwd)!r} does not exist.")
    if os.sep not in program and shutil.which(program, path=environment.get("PATH")) is None:
        raise ToolServerError(f"Tool server {name!r}: there is no program {program!r} on the PATH. Is it installed?")
    return program


def _close_pipes(process: Process) -> None:
    """Let go of the pipes even where a process that left the group still holds their other end."""
    transport = getattr(process, "_transport", None)
    if transport is not None:
        with suppress(ProcessLookupError, PermissionError):
            transport.close()
