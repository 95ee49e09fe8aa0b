"""How alerts stand, and what is still to be told of them, as rows that all gateways on a store share.

Of several gateways that see the same change the first writes it (`change`), together with the messages that tell of it;
of several that could deliver a message the first takes it (`take`). So a change is told of once, and a process that
is killed in between loses nothing: whoever runs next goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import structs
from sqlalchemy import ColumnElement, Connection, Insert, Update, and_, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from drawbar.record.schema import WAITING, alert, alert_message

if TYPE_CHECKING:
    from drawbar.record.store import Store

MOST_WAITING: Final = 500
"""Messages that wait for one webhook. Beyond them the oldest are given up."""
STALE: Final = 86400.0
"""Seconds after which a message is told nobody any more: its webhook was taken out of the configuration, or no gateway
ran."""
KEPT: Final = 30 * 86400.0
"""Seconds for which it is known what became of a message."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one alert stands."""

    name: str
    state: str = "ok"
    """ok | pending | firing"""
    since: float
    """Unix seconds, as every time here; of one that fires: since when it has been bad."""
    incident: str | None = None
    """What the messages of one time that it fired have in common."""
    told: float | None = None
    """When it was last told of."""
    repeated: int = 0
    """How often it was told again since it fired."""
    value: float | None = None
    """What was measured when it last changed."""
    count: int = 0
    """Observations that this was made of."""
    revision: int = 0
    """Grows with each change; 0: nobody has seen one yet."""


class AlertMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What one webhook is to be told."""

    id: str
    alert: str
    webhook: str
    body: bytes
    """JSON, as it is sent."""
    state: str = "waiting"
    """waiting | sent | failed"""
    attempts: int = 0
    due: float
    """When it is tried next; while somebody tries: until when nobody else does."""
    error: str | None = None
    """Why the last try failed."""
    created: float


class AlertTable:
    """The rows. Blocking; every question may raise `StoreError`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def standings(self) -> dict[str, Standing]:
        """Every alert that ever changed, by name."""
        with self._store.reading() as connection:
            rows = connection.execute(select(alert))
            return {row.name: Standing(**row._mapping) for row in rows}

    def standing(self, name: str) -> Standing | None:
        """How one alert stands; None: it never changed."""
        with self._store.reading() as connection:
            row = connection.execute(select(alert).where(alert.c.name == name)).first()
            return None if row is None else Standing(**row._mapping)

    def change(self, after: Standing, messages: Sequence[AlertMessage]) -> bool:
        """Write how an alert stands now, with what is to be told; False: somebody else was first, and nothing is
        written."""
        with self._store.writing() as connection:
            if connection.execute(_changing(connection, after).returning(alert.c.name)).first() is None:
                return False
            if messages:
                connection.execute(insert(alert_message), [structs.asdict(message) for message in messages])
                _tidy(connection, {message.webhook for message in messages}, messages[0].created)
        return True

    def due(self, webhooks: Collection[str], now: float) -> list[AlertMessage]:
        """What these webhooks are to be told now: of each alert the oldest message, so that none comes before another.
        The oldest first."""
        older = alert_message.alias()
        before = exists().where(
            older.c.state == "waiting", older.c.alert == alert_message.c.alert,
            older.c.webhook == alert_message.c.webhook, older.c.id < alert_message.c.id,
        )  # fmt: skip
        mine = and_(_fresh(webhooks, now), alert_message.c.due <= now, ~before)
        with self._store.reading() as connection:
            rows = connection.execute(select(alert_message).where(mine).order_by(alert_message.c.id).limit(100))
            return [AlertMessage(**row._mapping) for row in rows]

    def waiting(self, webhooks: Collection[str], now: float) -> int:
        """How many messages wait for these webhooks."""
        with self._store.reading() as connection:
            return int(connection.execute(select(func.count()).where(_fresh(webhooks, now))).scalar_one())

    def take(self, message: AlertMessage, until: float) -> AlertMessage | None:
        """The message, if it is ours to deliver until then; it counts as an attempt."""
        taken = structs.replace(message, due=until, attempts=message.attempts + 1)
        mine = and_(WAITING, alert_message.c.id == message.id, alert_message.c.due == message.due)
        change = update(alert_message).where(mine).values(due=taken.due, attempts=taken.attempts)
        with self._store.writing() as connection:
            return taken if connection.execute(change).rowcount == 1 else None

    def settle(self, message: AlertMessage) -> None:
        """Write what became of an attempt."""
        values = {"state": message.state, "due": message.due, "error": message.error}
        with self._store.writing() as connection:
            connection.execute(update(alert_message).where(alert_message.c.id == message.id).values(values))

    def newest(self, name: str) -> list[AlertMessage]:
        """The last message of an alert to each webhook."""
        last = select(func.max(alert_message.c.id)).where(alert_message.c.alert == name)
        query = select(alert_message).where(alert_message.c.id.in_(last.group_by(alert_message.c.webhook)))
        with self._store.reading() as connection:
            return [AlertMessage(**row._mapping) for row in connection.execute(query)]


def _changing(connection: Connection, after: Standing) -> Insert | Update:
    """Changes one row, if nobody has changed it since it was read."""
    values = structs.asdict(after)
    if after.revision > 1:
        return update(alert).where(alert.c.name == after.name, alert.c.revision == after.revision - 1).values(values)
    if connection.dialect.name == "postgresql":
        return postgresql.insert(alert).values(values).on_conflict_do_nothing(index_elements=[alert.c.name])
    return sqlite.insert(alert).values(values).on_conflict_do_nothing(index_elements=[alert.c.name])


def _fresh(webhooks: Collection[str], now: float) -> ColumnElement[bool]:
    """What waits for these webhooks, and is still worth telling."""
    return and_(WAITING, alert_message.c.webhook.in_(list(webhooks)), alert_message.c.created >= now - STALE)


def _tidy(connection: Connection, webhooks: Collection[str], now: float) -> None:
    """Give up what waits beyond the bound, and forget what was long ago."""
    for webhook in webhooks:
        mine = and_(WAITING, alert_message.c.webhook == webhook)
        newest = select(alert_message.c.id).where(mine).order_by(alert_message.c.id.desc())
        first = connection.execute(newest.offset(MOST_WAITING - 1).limit(1)).scalar()
        if first is not None:
            given_up = {"state": "failed", "error": f"more than {MOST_WAITING} messages wait for this webhook"}
            connection.execute(update(alert_message).where(mine, alert_message.c.id < first).values(given_up))
    stale = {"state": "failed", "error": "nobody delivered it within a day"}
    connection.execute(update(alert_message).where(WAITING, alert_message.c.created < now - STALE).values(stale))
    old = and_(alert_message.c.state != "waiting", alert_message.c.created < now - KEPT)
    connection.execute(delete(alert_message).where(old))
