"""Child processes that leave nothing behind: each in a process group of its own, killed whole, its output capped."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio

from drawbar.tools.warden import Warden, kill_group

KEPT_HEAD, KEPT_TAIL = 16_384, 49_152
GRACE_SECONDS = 2.0
"""Between asking a group to end and killing it."""


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


class Child:
    """A running program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.stdout, self.stderr = Kept(), Kept()

    async def wait(self) -> int:
        """Its exit status (negative: the signal that killed it), once its output is read to the end.

        A grandchild that outlives it and holds its output open does not keep us waiting.
        """
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        readers = [
            asyncio.ensure_future(_keep(self._process.stdout, self.stdout)),
            asyncio.ensure_future(_keep(self._process.stderr, self.stderr)),
        ]
        try:
            status = await self._process.wait()
            await asyncio.wait(readers, timeout=0.2)
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
        return status


async def _keep(stream: asyncio.StreamReader, kept: Kept) -> None:
    while data := await stream.read(65_536):
        kept.feed(data)


@asynccontextmanager
async def child(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path, mark: str, warden: Warden
) -> AsyncIterator[Child]:
    """Run a program in a process group of its own; on leaving, the group and whatever carries the mark is killed.

    `mark` is a `NAME=value` of its environment that no other program's has. By it, on Linux, a descendant is found that
    left the group (a daemon, say). The warden kills the group even when this process is killed.

    Raises:
        OSError: it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    warden.guard(process.pid)
    try:
        yield Child(process)
    finally:
        with anyio.CancelScope(shield=True):
            await _end_group(process)
            await anyio.to_thread.run_sync(_kill_marked, mark.encode())
        warden.release(process.pid)


async def _end_group(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        kill_group(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_SECONDS)
    kill_group(process.pid, signal.SIGKILL)
    await process.wait()


def _kill_marked(mark: bytes) -> None:
    for entry in Path("/proc").glob("[0-9]*") if os.path.isdir("/proc/self") else ():
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
