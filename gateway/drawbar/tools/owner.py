"""An async context manager that lives in a task of its own, so that any task may start it and any other may stop it.

Cancel scopes and task groups inside it are entered and left by the same task, as anyio demands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Owned(Generic[T]):
    """Enters what the factory makes on `start`, leaves it on `stop`."""

    def __init__(self, factory: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._factory = factory
        self._leave = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> T:
        """The value of the context manager. Raises what entering it raises."""
        entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._own(entered))
        try:
            return await entered
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    async def stop(self) -> None:
        """Leave it and wait until it is left. Harmless when it never started or was stopped before."""
        self._leave.set()
        if self._task is not None:
            await asyncio.wait((self._task,))
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                logger.warning("leaving %r failed", self._factory, exc_info=error)

    async def _own(self, entered: asyncio.Future[T]) -> None:
        try:
            async with self._factory() as value:
                if not entered.cancelled():
                    entered.set_result(value)
                    await self._leave.wait()
        except Exception as error:
            if entered.done():
                raise
            entered.set_exception(error)
