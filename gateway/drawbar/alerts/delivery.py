"""Delivers what waits in the outboxes, beside the gateway's work: to each webhook one message at a time, again and
again with growing pauses, until it takes it or has refused it for good."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
import anyio.to_thread
from msgspec import structs

from drawbar.alerts.outbox import Outbox
from drawbar.alerts.webhook import RETRIES, Webhook, deliver
from drawbar.errors import StoreError
from drawbar.proxy.failures import decide
from drawbar.proxy.upstream import UpstreamError
from drawbar.record.alerts import AlertMessage

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

_log = logging.getLogger(__name__)

POLL: Final = 1.0
"""Seconds between looks while something waits."""
_CLAIM: Final = 5.0
"""Seconds beyond its time-out for which nobody else tries a message that we try."""
_LEAVING: Final = 2.0
"""Seconds that tries under way have when the gateway stops. What is not taken then waits in the store."""


class Delivery:
    """Takes messages to webhooks."""

    def __init__(self, outboxes: Sequence[Outbox], threads: anyio.CapacityLimiter) -> None:
        self.webhooks: Mapping[str, Webhook] = {}
        """May be replaced at any time."""
        self.tries: Counter[tuple[str, str]] = Counter()
        """By webhook and what came of it: sent, retried or failed."""
        self.waiting = 0
        self._outboxes = outboxes
        self._threads = threads
        self._wake = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._client: aiohttp.ClientSession | None = None

    def wake(self) -> None:
        """Something waits."""
        self._wake.set()

    async def run(self, idle: float) -> None:
        """Deliver for ever; without anything to do, look every `idle` seconds for what others have left."""
        while True:
            self._wake.clear()
            try:
                await self._begin()
            except StoreError as error:
                _log.warning("The store could not be asked for messages of alerts: %s", error)
            except Exception:
                _log.exception("Messages of alerts could not be delivered.")
            with anyio.move_on_after(POLL if self.waiting or self._busy else idle):
                await self._wake.wait()

    async def stop(self) -> None:
        """Let tries under way end, but not for long."""
        tasks = list(self._busy.values())
        if tasks:
            await asyncio.wait(tasks, timeout=_LEAVING)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def _begin(self) -> None:
        """Begin a try for each webhook that is free and has something to be told."""
        waiting, webhooks = 0, self.webhooks
        for outbox in self._outboxes:
            waiting += await self._ask(outbox.waiting, list(webhooks), time.time())
            free = [name for name in webhooks if name not in self._busy]
            found = await self._ask(outbox.due, free, time.time()) if free else []
            for message in found:
                if message.webhook not in self._busy:
                    task = asyncio.create_task(self._try(outbox, message, webhooks[message.webhook]))
                    self._busy[message.webhook] = task
                    task.add_done_callback(lambda _, name=message.webhook: self._free(name))  # type: ignore[misc]
        self.waiting = waiting

    def _free(self, webhook: str) -> None:
        del self._busy[webhook]
        self._wake.set()

    async def _ask(self, question: Callable[..., T], *given: Any) -> T:
        return await anyio.to_thread.run_sync(question, *given, limiter=self._threads)

    async def _try(self, outbox: Outbox, message: AlertMessage, webhook: Webhook) -> None:
        """One try of one message, and what follows from it."""
        try:
            until = time.time() + webhook.timeout + _CLAIM
            taken = await self._ask(outbox.take, message, until)
            if taken is None:
                return
            try:
                await deliver(self._session(), webhook, taken)
            except UpstreamError as error:
                settled = self._failed(taken, error)
            else:
                self.tries[webhook.name, "sent"] += 1
                settled = structs.replace(taken, state="sent", error=None)
            await self._ask(outbox.settle, settled)
        except StoreError as error:  # it is tried again when its time is up
            _log.warning("What became of a message of the alert %s could not be noted: %s", message.alert, error)
        except Exception:
            _log.exception("A message of the alert %s could not be delivered.", message.alert)

    def _failed(self, message: AlertMessage, error: UpstreamError) -> AlertMessage:
        decision = decide(error, attempt=message.attempts, fallbacks=0, policy=RETRIES)
        again = decision.action == "retry"
        self.tries[message.webhook, "retried" if again else "failed"] += 1
        _log.warning(
            "The webhook %s did not take a message of the alert %s: %s. %s", message.webhook, message.alert, error,
            f"It is tried again in {decision.wait:g} s." if again else "It is given up.",
        )  # fmt: skip
        state, due = ("waiting", time.time() + decision.wait) if again else ("failed", message.due)
        return structs.replace(message, state=state, due=due, error=str(error))

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            import aiohttp

            self._client = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=True
            )
        return self._client
