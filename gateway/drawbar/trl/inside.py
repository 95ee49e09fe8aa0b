"""A gateway in a thread of its own, for programs without an event loop: what is asked of it is waited for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from drawbar.environment import Environment
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.record.store import Store

T = TypeVar("T")


class Inside:
    """Starts the gateway at once. It ends with `close`, or with the process's main thread."""

    def __init__(self, environment: Environment, store: str) -> None:
        """Raises `StoreError`: there is no such store, and none can be made."""
        self._store = Store.open(store)
        self._environment = environment
        self._started: Future[tuple[asyncio.AbstractEventLoop, Gateway]] = Future()
        self._end: asyncio.Event | None = None
        self._at_end: Callable[[Gateway], Coroutine[Any, Any, None]] | None = None
        self._thread = threading.Thread(target=self._live, name="drawbar-trl")
        self._thread.start()
        self._loop, self.gateway = self._started.result()
        threading.Thread(target=self._watch, name="drawbar-trl-end", daemon=True).start()

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this in the gateway's loop, and wait for it."""
        if not self._thread.is_alive():
            work.close()
            raise RuntimeError("This environment factory was closed: make another one.")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def before_end(self, work: Callable[[Gateway], Coroutine[Any, Any, None]]) -> None:
        """Do this in the gateway's loop when it is to end."""
        self._at_end = work

    def close(self) -> None:
        """End it, if it has not ended, and wait until all is written."""
        if self._thread.is_alive() and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()

    def _watch(self) -> None:
        """The interpreter waits for our thread once the main one is over, and we for it: this tells us that it is."""
        threading.main_thread().join()
        self.close()

    def _live(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)
        finally:
            self._store.close()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        environment = self._environment
        models = Models(in_process=environment.models)
        async with Gateway(self._store, models, environments={environment.name: environment}) as gateway:
            self._started.set_result((asyncio.get_running_loop(), gateway))
            await self._end.wait()
            if self._at_end is not None:
                await self._at_end(gateway)
