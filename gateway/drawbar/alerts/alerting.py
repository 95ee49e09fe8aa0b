"""Looks at the rules again and again, beside the gateway's work, and sees to it that webhooks are told of changes.

What live traffic comes to is asked of the store, and how an alert stands is kept there: after a restart it stands as it
stood, and of several gateways that see a change one tells of it. Alerts about the recorder are this gateway's own, and
kept in memory: while it fails, the store takes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from drawbar.alerts.delivery import Delivery
from drawbar.alerts.message import messages, text
from drawbar.alerts.observing import RecorderWatch, observe
from drawbar.alerts.outbox import MemoryOutbox
from drawbar.alerts.rule import AlertRule
from drawbar.alerts.standing import Kind, step
from drawbar.errors import StoreError
from drawbar.record.alerts import AlertTable, Standing
from drawbar.record.observing import Seen

if TYPE_CHECKING:
    from drawbar.proxy.settings import Settings
    from drawbar.record.recorder import Recorder
    from drawbar.record.store import Store

_log = logging.getLogger(__name__)

THREADS: Final = 2
"""One for the looks, one for messages."""
SHARE: Final = 20
"""A look that took so long is followed by a pause of at least this many times that: rules over many sessions cost no
more than a part of one core."""


class Alerting:
    """The alerts of one gateway."""

    def __init__(self, store: Store, recorder: Recorder, settings: Settings) -> None:
        self.failed_looks = 0
        """Looks at a rule that the store did not answer."""
        self.firing: dict[str, bool] = {}
        """How each rule stood at the last look."""
        self.values: dict[str, float] = {}
        """What each rule's measure came to at the last look, as far as it could be said."""
        self._store = store
        self._table = AlertTable(store)
        self._own: dict[str, Standing] = {}
        self._watch = RecorderWatch(recorder)
        self._outbox = MemoryOutbox()
        self._threads = anyio.CapacityLimiter(THREADS)
        self.delivery = Delivery((self._outbox, self._table), self._threads)
        self._name = socket.gethostname()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.settle(settings)

    def settle(self, settings: Settings) -> None:
        """From now on, these alerts are looked at, and these webhooks told."""
        self._rules, self._every = settings.alerts, settings.alert_interval
        self.delivery.webhooks = settings.webhooks
        names = {rule.name for rule in settings.alerts}
        self.firing = {name: known for name, known in self.firing.items() if name in names}
        self.values = {name: known for name, known in self.values.items() if name in names}
        self._changed.set()

    def start(self) -> None:
        """Look, from now on."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop looking. What waits to be told waits in the store."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self.delivery.stop()

    async def _run(self) -> None:
        while not self._rules and not self.delivery.webhooks:
            await self._pause(None)
        async with anyio.create_task_group() as group:
            group.start_soon(self.delivery.run, self._every)
            while True:
                took = await self._look_at_all()
                await self._pause(max(self._every, SHARE * took))

    async def _pause(self, seconds: float | None) -> None:
        with anyio.move_on_after(seconds):
            await self._changed.wait()
        self._changed.clear()

    async def _look_at_all(self) -> float:
        """How long the store took to answer."""
        began = time.monotonic()
        for rule in self._rules:
            try:
                await self._look(rule)
            except StoreError as error:
                self.failed_looks += 1
                _log.warning("The alert %s could not be looked at: %s", rule.name, error)
            except Exception:
                self.failed_looks += 1
                _log.exception("The alert %s could not be looked at.", rule.name)
        return time.monotonic() - began

    async def _look(self, rule: AlertRule) -> None:
        if rule.local:
            after, seen, told = self._look_here(rule)
        else:
            after, seen, told = await anyio.to_thread.run_sync(self._look_there, rule, limiter=self._threads)
        self.firing[rule.name] = after.state == "firing"
        if seen.value is not None:
            self.values[rule.name] = seen.value
        if told is not None:
            _log.warning("%s", text(rule, after, seen, told, self._name))
            self.delivery.wake()

    def _look_here(self, rule: AlertRule) -> tuple[Standing, Seen, Kind | None]:
        now = time.time()
        before = self._own.get(rule.name) or Standing(name=rule.name, since=now)
        seen = self._watch.observe(rule, now)
        after, told = step(rule, before, seen, now)
        self._own[rule.name] = after
        if told is not None:
            self._outbox.add(messages(rule, after, seen, told, self._name))
        return after, seen, told

    def _look_there(self, rule: AlertRule) -> tuple[Standing, Seen, Kind | None]:
        """In a thread. Raises `StoreError`."""
        now = time.time()
        before = self._table.standing(rule.name) or Standing(name=rule.name, since=now)
        seen = observe(self._store, rule, now)
        after, told = step(rule, before, seen, now)
        if after is before:
            return before, seen, None
        sent = messages(rule, after, seen, told, self._name) if told is not None else []
        if self._table.change(after, sent):
            return after, seen, told
        return self._table.standing(rule.name) or before, seen, None  # another gateway was first
