"""Where messages wait: in the store (`record.alerts.AlertTable`), or, of what the store cannot take, in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Protocol

from msgspec import structs

from drawbar.record.alerts import AlertMessage

MOST_WAITING: Final = 100


class Outbox(Protocol):
    """Asked from a thread; each may raise `StoreError`."""

    def due(self, webhooks: Collection[str], now: float) -> list[AlertMessage]:
        """What these webhooks are to be told now, the oldest first."""

    def take(self, message: AlertMessage, until: float) -> AlertMessage | None:
        """The message, if it is ours to deliver until then."""

    def settle(self, message: AlertMessage) -> None:
        """Note what became of an attempt."""

    def waiting(self, webhooks: Collection[str], now: float) -> int:
        """How many messages wait for these webhooks."""


class MemoryOutbox:
    """Messages about the recorder: while it fails, the store takes none. Beyond a bound the oldest are forgotten."""

    def __init__(self) -> None:
        self._messages: dict[str, AlertMessage] = {}

    def add(self, messages: Sequence[AlertMessage]) -> None:
        """To be delivered."""
        self._messages |= {message.id: message for message in messages}
        while len(self._messages) > MOST_WAITING:
            del self._messages[next(iter(self._messages))]

    def due(self, webhooks: Collection[str], now: float) -> list[AlertMessage]:
        found: dict[tuple[str, str], AlertMessage] = {}
        for message in list(self._messages.values()):
            found.setdefault((message.alert, message.webhook), message)
        return [message for message in found.values() if message.due <= now and message.webhook in webhooks]

    def take(self, message: AlertMessage, until: float) -> AlertMessage | None:
        if self._messages.get(message.id) != message:
            return None
        taken = structs.replace(message, due=until, attempts=message.attempts + 1)
        self._messages[message.id] = taken
        return taken

    def settle(self, message: AlertMessage) -> None:
        if message.state == "waiting" and message.id in self._messages:
            self._messages[message.id] = message
        else:
            self._messages.pop(message.id, None)

    def waiting(self, webhooks: Collection[str], now: float) -> int:
        return sum(message.webhook in webhooks for message in list(self._messages.values()))
