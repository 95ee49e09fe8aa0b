"""Deletes, beside a gateway's work, the sessions whose time is over.

Of several gateways on one store one begins a round; that two do at once is no harm, only work done twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterator
from typing import Final

import anyio
import anyio.to_thread
from sqlalchemy import Connection, update
from sqlalchemy.dialects import postgresql, sqlite

from drawbar.errors import StoreError
from drawbar.record import schema
from drawbar.record.pruning import Pruning
from drawbar.record.retention import Retention
from drawbar.record.store import Store

_log = logging.getLogger(__name__)

EVERY: Final = 6 * 3600.0
"""Seconds from one round to the next, of all gateways on a store."""
LOOK: Final = 60.0
"""Seconds between looks whether a round is due."""
_SHARE: Final = 4.0
"""How many times as long as a step took is waited before the next."""
_LEAST: Final = 0.005
"""Seconds that are waited at least, so that whoever waits for the store has it next."""
_ROUND: Final = "retention_round"
"""Under which name `meta` has the minute in which the next round may begin."""


class Retaining:
    """Does a round now and then."""

    def __init__(self, store: Store, retention: Retention) -> None:
        self.retention = retention
        """May be replaced at any time."""
        self.deleted = 0
        """Sessions, since the gateway was started."""
        self._store = store
        self._threads = anyio.CapacityLimiter(1)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look after what is over, from now on."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop after the step under way; whoever starts next goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        await asyncio.sleep(random.uniform(0.5, 1) * LOOK)  # gateways that start together begin apart
        while True:
            if not self.retention.forever:
                try:
                    if await anyio.to_thread.run_sync(_begins, self._store, limiter=self._threads):
                        await self.round()
                except StoreError as error:
                    _log.warning("Retention could not go on, and tries again in the next round: %s", error)
                except Exception:
                    _log.exception("Retention failed; it tries again in the next round.")
            await asyncio.sleep(LOOK)

    async def round(self) -> None:
        """Delete what is over now. Raises `StoreError`."""
        pruning = Pruning(self._store)
        steps = pruning.steps(self.retention.over(time.time()))
        try:
            # What is slept for is nobody's news: it is the others' turn.
            while (held := await anyio.to_thread.run_sync(_next, steps, limiter=self._threads)) is not None:  # noqa: ASYNC110
                await asyncio.sleep(max(_LEAST, _SHARE * held))
        finally:
            self.deleted += pruning.freed.sessions
            if pruning.freed.sessions:
                _log.info("Retention deleted %d sessions and %d messages.", pruning.freed.sessions, pruning.freed.nodes)


def _next(steps: Iterator[float]) -> float | None:
    return next(steps, None)


def _begins(store: Store) -> bool:
    """Whether it is time for a round, and ours to do it."""
    now, next_time = int(time.time() // 60), int((time.time() + EVERY) // 60)
    with store.writing() as connection:
        due = update(schema.meta).where(schema.meta.c.name == _ROUND, schema.meta.c.value <= now)
        return connection.execute(due.values(value=next_time)).rowcount == 1 or _is_first(connection, next_time)


def _is_first(connection: Connection, next_time: int) -> bool:
    kind = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = kind.insert(schema.meta).values(name=_ROUND, value=next_time).on_conflict_do_nothing()
    return connection.execute(insert.returning(schema.meta.c.name)).first() is not None
