"""Stores the health of each session once it has ended, and what it comes to: both are read from its record when nothing
more comes."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

import anyio
import anyio.to_thread

from drawbar.errors import StoreError, UnknownName
from drawbar.record import health
from drawbar.record.recorder import Recorder
from drawbar.record.rows import HealthRow
from drawbar.record.store import Store
from drawbar.record.summary import summary_of
from drawbar.trajectory import Trajectory

_log = logging.getLogger(__name__)

READERS: Final = 2
"""Threads that read trajectories. They share the interpreter with the gateway: more of them only slow it down."""
_PATIENCE: Final = 2.0
"""Seconds after its end for which a session waits for somebody who wants its trajectory anyway."""


_LEAVING: Final = 10.0
"""Seconds for which a gateway that stops goes on reading."""


class Checkups:
    """Reads sessions that have ended. Whoever asks for a trajectory saves it the reading."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder
        self._readers = anyio.CapacityLimiter(READERS)
        self._due: dict[str, float] = {}
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look after what is due, from now on."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Read what is still due, as far as it can be done soon."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with anyio.move_on_after(_LEAVING):
            for session in list(self._due):
                await self._look_at(session)
        if self._due:
            _log.warning("The health of %d sessions was not stored before the gateway stopped.", len(self._due))

    def ended(self, session: str) -> None:
        """A session has ended, and its end is recorded."""
        self._due[session] = time.monotonic()
        self._wanted.set()

    async def trajectory(self, session: str) -> Trajectory:
        """A session's trajectory; its health is stored, if that is due. Raises `UnknownName`, `StoreError`."""
        due = self._due.pop(session, None) is not None
        try:
            trajectory = await anyio.to_thread.run_sync(self._store.trajectory, session, limiter=self._readers)
            if due:
                findings = health.to_json(trajectory.health)
                health_row = HealthRow(session=session, findings=findings, created=time.time())
                await self._recorder.post(health_row, summary_of(trajectory))
        except BaseException:
            if due:
                self._due.setdefault(session, time.monotonic())
            raise
        return trajectory

    async def _work(self) -> None:
        while True:
            await self._wanted.wait()
            for session, since in list(self._due.items()):
                await asyncio.sleep(max(0.0, since + _PATIENCE - time.monotonic()))
                if session in self._due:
                    await self._look_at(session)
            if not self._due:
                self._wanted.clear()

    async def _look_at(self, session: str) -> None:
        try:
            await self.trajectory(session)
        except (StoreError, UnknownName) as error:
            self._due.pop(session, None)
            _log.warning("The health of session %s could not be stored: %s", session, error)
