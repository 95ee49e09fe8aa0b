"""The recorder: from the event loop to the store, through one thread that commits in groups.

The loop's side counts, waits and wakes; it never touches the store. The thread's side takes what has come meanwhile,
writes it as one transaction and reports once. Rows cross over in one queue, in order, and results in one callback per
batch.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import anyio
from anyio.to_thread import run_sync

from drawbar.errors import StoreError
from drawbar.record.database import UnwritableRow
from drawbar.record.redaction import Redact, redacted
from drawbar.record.rows import BlobRow, NodeRow, Row, ToolCallRow
from drawbar.record.store import Store

if TYPE_CHECKING:
    from drawbar.record.spool import Spool

_log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
"""Between tries to write rows that a failed batch left, while nothing else comes."""

_PIECE: Final = 64 * 1024
"""Bytes of a body that take as much room in the queue as a row without one: the queue's memory is bounded too."""

_SHARE: Final = 10
"""The part of the queue's room that rows which cannot be written may take before they go to the spool."""

_LARGEST_BATCH: Final = 2_000
"""Rows after which a batch is closed, so that nobody waits for the whole queue."""


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    """What one caller handed in, and who waits for it."""

    rows: Sequence[Row]
    waiter: asyncio.Future[None] | None
    weight: int
    """The room that it takes in the queue."""


class Recorder:
    """Writes rows durably without ever blocking the event loop.

    `post` is for what may be lost with the machine's next microseconds (an intent), `commit` for what somebody is
    about to rely on. Rows reach the store in the order in which they were handed in. Posted rows outlive a failed
    batch: they are tried again with the next one. So do the nodes and blobs of a failed commit, since later calls
    build on them; its other rows are the caller's again, who has the error. With `keep_all`, whose caller goes on all
    the same, they too are tried again: in memory up to a bound, beyond it in the spool, if there is one. When the store
    can be written again, all of it is written in its order before anything new.
    """

    def __init__(
        self,
        store: Store,
        *,
        redact: Redact | None = None,
        max_pending: int = 10_000,
        linger: float = 0.002,
        spool: Spool | None = None,
    ) -> None:
        """`max_pending`: rows that may wait to be written; one with a large body counts as several."""
        self.epoch = 0
        """Grows whenever rows may not have reached the store: whoever remembers "already stored" must forget it
        then."""
        self.keep_all = False
        """Whether what could not be committed is tried again too: its caller goes on without it (best-effort)."""
        self.listeners: list[Callable[[Sequence[Row]], None]] = []
        """Told of all rows that are handed in, before they are redacted; they must be quick, and raise nothing."""
        self.lost = 0
        """Rows that nothing could take any more."""
        self._spool = spool
        self._store = store
        self._redact = redact
        self._max_pending = max_pending
        self._linger = linger
        self._queue: queue.SimpleQueue[Sequence[_Item] | None] = queue.SimpleQueue()
        self._posted: list[_Item] = []  # what nobody waits for is handed over in one go: waking a thread is dear
        self._timer: asyncio.TimerHandle | None = None
        self._pending = 0
        self._failing: StoreError | None = None
        self._room: asyncio.Event = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._kept: list[_Item] = []  # the thread's alone

    @property
    def store(self) -> Store:
        """Where it all goes."""
        return self._store

    @property
    def pending(self) -> int:
        """Rows that wait to be written; one with a large body counts as several."""
        return self._pending

    @property
    def spooled(self) -> int:
        """Bytes that wait in the spool."""
        return self._spool.size if self._spool is not None else 0

    @property
    def failing(self) -> bool:
        """Whether the store could not be written the last time."""
        return self._failing is not None

    def redact_with(self, redact: Redact | None) -> None:
        """From now on, bodies pass this hook."""
        self._redact = redact

    def redacted(self, body: bytes) -> bytes:
        """What may be kept of a body, wherever else than in the store it is to be kept."""
        return body if self._redact is None else self._redact(body)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="drawbar-recorder", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what is left, then stop.

        Raises:
            StoreError: posted rows could not be written, to the last try.
        """
        self._closing = True
        self._room.set()
        self._hand_over()
        self._queue.put(None)
        assert self._thread is not None
        with anyio.CancelScope(shield=True):
            await run_sync(self._thread.join)
        if self._spool is not None:
            self._spool.close()
        if self._kept:
            message = f"{len(self._kept)} recorded rows could not be written: {self._failing}"
            if error is None:
                raise StoreError(message) from self._failing
            _log.error(message)

    async def post(self, *rows: Row) -> None:
        """Hand rows in without waiting for them, except while the queue is full.

        Raises:
            StoreError: the queue is full and the store cannot be written. The rows were not taken.
        """
        weight = sum(map(_weight, rows))
        await self._admit(weight)
        for tell in self.listeners:
            tell(rows)
        self._posted.append(_Item(rows, None, weight))
        if self._timer is None:
            self._timer = self._loop.call_later(self._linger, self._hand_over)

    async def commit(self, *rows: Row) -> None:
        """Hand rows in and return when they, and everything handed in before, are durable.

        A caller that is cancelled meanwhile leaves its rows in the queue. Without rows it waits for those handed in
        before.

        Raises:
            StoreError: they could not be written.
        """
        weight = sum(map(_weight, rows))
        await self._admit(weight)
        for tell in self.listeners:
            tell(rows)
        waiter = self._loop.create_future()
        self._hand_over(_Item(rows, waiter, weight))
        await waiter

    def _hand_over(self, *items: _Item) -> None:
        """Give the thread what was posted, and then these."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        handed = [*self._posted, *items]
        self._posted.clear()
        if handed:
            self._queue.put(handed)

    async def _admit(self, weight: int) -> None:
        """Wait until there is room, and take it."""
        if self._thread is None or self._closing:
            raise RuntimeError("The recorder is not running: use it inside `async with`.")
        while self._pending and self._pending + weight > self._max_pending:
            if self._failing is not None and not (self.keep_all and self._spool is not None and self._spool.usable):
                self.epoch += 1
                self.lost += weight if self.keep_all else 0
                raise StoreError(str(self._failing)) from self._failing
            self._room.clear()
            try:
                await self._room.wait()
            except BaseException:
                self.epoch += 1
                raise
            if self._closing:
                raise RuntimeError("The recorder was stopped while rows waited for room.")
        self._pending += weight

    def _report(self, results: Sequence[tuple[_Item, StoreError | None]], released: int) -> None:
        """On the loop: what became of a batch."""
        errors = [error for _, error in results if error is not None]
        if errors:
            self.epoch += 1
        self._set_failing(next((error for error in errors if not isinstance(error, UnwritableRow)), None))
        self._pending -= released
        self._room.set()
        for item, error in results:
            if item.waiter is None or item.waiter.done():
                continue
            if error is None:
                item.waiter.set_result(None)
            else:
                item.waiter.set_exception(StoreError(str(error)))

    def _set_failing(self, error: StoreError | None) -> None:
        if error is not None and self._failing is None:
            _log.error("Recording fails: %s", error)
        elif error is None and self._failing is not None:
            _log.warning("Recording works again.")
        self._failing = error

    # From here on: the thread.

    def _work(self) -> None:
        more = True
        while more:
            items, more = self._gather()
            self._write(items)
        if self._kept or self._waits:
            self._write([])
        if (
            self._kept
            and self._spool is not None
            and self._spool.add([row for item in self._kept for row in item.rows])
        ):
            self._kept = []

    @property
    def _waits(self) -> bool:
        """Whether there are rows in the spool."""
        return self._spool is not None and not self._spool.empty

    def _write(self, items: Sequence[_Item]) -> None:
        """Write what an earlier batch left and these, and report."""
        held = sum(item.weight for item in (*self._kept, *items))
        ready, results = self._redact_all(items)
        ready = [*self._kept, *ready]
        if not ready and not results and not self._waits:
            return
        stuck = self._unspool()
        results += zip(ready, self._store_all(ready) if stuck is None else [stuck] * len(ready), strict=True)
        keep = self.keep_all
        kept = [row for item, error in results if error is not None for row in _worth_keeping(item, error, keep)]
        self._kept = [_Item([row], None, _weight(row)) for row in kept]
        if keep and self._spool is not None and sum(item.weight for item in self._kept) > self._max_pending // _SHARE:
            self._kept = [] if self._spool.add(kept) else self._kept
        released = held - sum(item.weight for item in self._kept)
        with suppress(RuntimeError):  # the loop was closed without waiting for us
            self._loop.call_soon_threadsafe(self._report, results, released)

    def _unspool(self) -> StoreError | None:
        """Write what waits in the spool; why that cannot be done now."""
        for rows in self._spool.batches() if self._spool is not None else ():
            items = [_Item([row], None, 1) for row in rows]
            for error in self._store_all(items):
                if error is not None and not isinstance(error, UnwritableRow):
                    return error
        return None

    def _redact_all(self, items: Sequence[_Item]) -> tuple[list[_Item], list[tuple[_Item, StoreError | None]]]:
        """The items as they may be kept, and those for which the hook failed: of them nothing may be kept."""
        if self._redact is None:
            return list(items), []
        ready: list[_Item] = []
        failed: list[tuple[_Item, StoreError | None]] = []
        for item in items:
            try:
                ready.append(_Item([redacted(row, self._redact) for row in item.rows], item.waiter, item.weight))
            except Exception as error:
                # Its message may quote what it was to hide.
                _log.error("The redaction hook raised %s; the rows are not kept.", type(error).__name__)
                failed.append((item, UnwritableRow(f"The redaction hook raised {type(error).__name__}.")))
        return ready, failed

    def _store_all(self, items: Sequence[_Item]) -> list[StoreError | None]:
        """Write the items in one transaction, or, if a row among them cannot be written, each in its own."""
        error = self._store_rows([row for item in items for row in item.rows])
        if not isinstance(error, UnwritableRow):
            return [error] * len(items)
        errors: list[StoreError | None] = []
        for item in items:
            error = self._store_rows(item.rows)
            if isinstance(error, UnwritableRow):
                _log.error("Dropped %d rows: %s", len(item.rows), error)
            elif error is not None:
                return errors + [error] * (len(items) - len(errors))
            errors.append(error)
        return errors

    def _store_rows(self, rows: Sequence[Row]) -> StoreError | None:
        try:
            self._store.write(rows)
        except StoreError as error:
            return error
        except Exception as error:  # a bug; whoever waits must learn of it all the same
            _log.exception("The recorder failed.")
            return StoreError(f"The recorder failed: {error!r}")
        return None

    def _gather(self) -> tuple[list[_Item], bool]:
        """What has come, as one batch, and whether more may come."""
        try:
            handed = self._queue.get(timeout=RETRY_SECONDS if self._kept or self._waits else None)
        except queue.Empty:
            return [], True
        items: list[_Item] = []
        size = 0
        while handed is not None:
            items += handed
            size += sum(len(item.rows) for item in handed)
            if size >= _LARGEST_BATCH:
                return items, True
            try:
                handed = self._queue.get_nowait()
            except queue.Empty:
                return items, True
        return items, False


def _weight(row: Row) -> int:
    size = 0
    if isinstance(row, BlobRow | NodeRow):
        size = len(row.body)
    elif isinstance(row, ToolCallRow):
        size = len(row.arguments) + len(row.result or b"") + len(row.shown or b"")
    return 1 + size // _PIECE


def _worth_keeping(item: _Item, error: StoreError, keep_all: bool) -> Sequence[Row]:
    """What of an item that was not written is to be tried again."""
    if isinstance(error, UnwritableRow):
        return ()
    return (
        item.rows
        if item.waiter is None or keep_all
        else [row for row in item.rows if isinstance(row, NodeRow | BlobRow)]
    )
