"""What harnesses that start programs share: whose environment they get, who sees to their end, and what it means."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from drawbar.errors import HarnessError
from drawbar.harness import Assignment, Outcome
from drawbar.tools.warden import Warden
from drawbar_harnesses.processes import Child, child

INHERITED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TERM", "TMPDIR", "TZ", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "VIRTUAL_ENV", "SYSTEMROOT",
)  # fmt: skip
"""Of our own environment, what programs get: where things are, and the locale. Nothing that may be a secret."""


@dataclass(frozen=True, slots=True)
class Start:
    """A program that is about to be started."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    name: str
    """What messages call it."""
    stdin: Path | None = None
    """A file for it to read; None: nothing."""


class Programs:
    """Runs programs for rollouts; entered, it keeps one warden for all of them."""

    def __init__(self, timeout: float | None = None) -> None:
        self.timeout = timeout
        self._shared: Warden | None = None

    async def __aenter__(self) -> Programs:
        self._shared = Warden()
        return self

    async def __aexit__(self, *exception: object) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.close()

    async def run(self, start: Start, assignment: Assignment) -> Outcome:
        """Start it, wait for its end within its time, and leave nothing of it behind.

        Raises:
            HarnessError: it cannot be started.
        """
        mark = f"DRAWBAR_SESSION={assignment.session}"
        env = {**start.env, "DRAWBAR_SESSION": assignment.session}
        try:
            async with (
                self._guarded() as warden,
                child(start.command, env=env, cwd=start.cwd, stdin=start.stdin, mark=mark, warden=warden) as program,
            ):
                return await self._attend(program, start.name, assignment)
        except OSError as error:
            raise HarnessError(f"{start.name!r} could not be started: {error}") from error

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[Warden]:
        """The warden of all rollouts, or, outside a run, one for this rollout alone."""
        if self._shared is not None:
            yield self._shared
            return
        warden = Warden()
        try:
            yield warden
        finally:
            with anyio.CancelScope(shield=True):
                await warden.close()

    async def _attend(self, program: Child, name: str, assignment: Assignment) -> Outcome:
        seconds = min((s for s in (self.timeout, assignment.limits.seconds) if s is not None), default=None)
        status: int | None = None
        with anyio.move_on_after(seconds):
            status = await program.wait()
        output = {"stdout": program.stdout, "stderr": program.stderr}
        if status is not None:
            output["exit_status"] = str(status)
        if status is None:
            return Outcome("limit_time", f"{name} was stopped after {seconds:g} s.", output)
        if status == 0:
            return Outcome("completed", None, output)
        how = f"ended with exit status {status}" if status > 0 else f"was killed by signal {-status}"
        last = output["stderr"].strip()[-300:]
        return Outcome("agent_failed", f"{name} {how}{': ' + last if last else ''}", output)


def inherited(*more: str) -> dict[str, str]:
    """What a program gets of our own environment: the locale and the like, and `more` by name."""
    passed = (*INHERITED, *(name for name in os.environ if name.startswith("LC_")), *more)
    return {name: os.environ[name] for name in passed if name in os.environ}
