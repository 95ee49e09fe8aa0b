"""Child processes that leave nothing behind: each in a process group of its own, killed whole, its output capped."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

import anyio

from drawbar.tools.warden import Warden, kill_group

KEPT_HEAD, KEPT_TAIL = 16_384, 49_152
GRACE_SECONDS = 2.0
"""Between asking a group to end and killing it."""
LAST_WORDS_SECONDS = 0.2
"""After a program's end, for what it wrote to be read; longer only when another process holds its output open."""


class Kept:
    """The first and the last bytes of a stream."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._cut = 0

    def feed(self, data: bytes) -> None:
        room = KEPT_HEAD - len(self._head)
        self._head += data[:room]
        self._tail += data[max(room, 0) :]
        if len(self._tail) > KEPT_TAIL:
            self._cut += len(self._tail) - KEPT_TAIL
            del self._tail[:-KEPT_TAIL]

    @property
    def text(self) -> str:
        """What was kept; what was cut between is counted."""
        gap = f"\n[... {self._cut} bytes cut ...]\n".encode() if self._cut else b""
        return bytes(self._head + gap + self._tail).decode(errors="replace")


class Child(asyncio.SubprocessProtocol):
    """A running program.

    Its end is its own: a grandchild that outlives it and holds its output open, which `asyncio.subprocess` waits for,
    does not keep us waiting.
    """

    def __init__(self) -> None:
        self._output = {1: Kept(), 2: Kept()}
        self._open = {1, 2}
        self._status: int | None = None
        self._exited = asyncio.Event()
        self._quiet = asyncio.Event()

    @property
    def stdout(self) -> str:
        return self._output[1].text

    @property
    def stderr(self) -> str:
        return self._output[2].text

    async def wait(self) -> int:
        """Its exit status (negative: the signal that killed it), once what it wrote is read."""
        await self._exited.wait()
        with anyio.move_on_after(LAST_WORDS_SECONDS):
            await self._quiet.wait()
        assert self._status is not None
        return self._status

    async def end(self, transport: asyncio.SubprocessTransport, mark: bytes) -> None:
        """Ask the group to end, then kill it and everything that carries the mark."""
        group = transport.get_pid()
        if not self._exited.is_set():
            kill_group(group, signal.SIGTERM)
            with anyio.move_on_after(GRACE_SECONDS):
                await self._exited.wait()
        kill_group(group, signal.SIGKILL)
        await anyio.to_thread.run_sync(_kill_marked, mark)
        await self._exited.wait()
        transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's is one without saying so

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._output[fd].feed(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open:
            self._quiet.set()

    def process_exited(self) -> None:
        self._status = self._transport.get_returncode()
        self._exited.set()


@asynccontextmanager
async def child(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path, mark: str, warden: Warden, stdin: Path | None = None
) -> AsyncIterator[Child]:
    """Run a program in a process group of its own; on leaving, the group and whatever carries the mark is killed.

    `mark` is a `NAME=value` of its environment that no other program's has. By it, on Linux, a descendant is found that
    left the group (a daemon, say). The warden does the same when this process is killed.

    Raises:
        OSError: it cannot be started.
    """
    with _input(stdin) as given:
        transport, program = await asyncio.get_running_loop().subprocess_exec(
            Child, *command, env=env, cwd=cwd, stdin=given, start_new_session=True
        )
    group = transport.get_pid()
    warden.guard(group, mark)
    try:
        yield program
    finally:
        with anyio.CancelScope(shield=True):
            await program.end(transport, mark.encode())
        warden.release(group)


def _input(file: Path | None) -> BinaryIO:
    return open(file or os.devnull, "rb")


def _kill_marked(mark: bytes) -> None:
    for entry in Path("/proc").glob("[0-9]*") if os.path.isdir("/proc/self") else ():
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
