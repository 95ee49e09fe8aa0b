"""Keys of clients as rows: what each may do, and what it has used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import Connection, func, select

from drawbar.record import schema
from drawbar.record.load import structs
from drawbar.record.rows import KeyRow

if TYPE_CHECKING:
    from drawbar.record.store import Store

MINUTE: Final = "minute"
"""The period of the use in the last minute that a gateway knows of; days are named `2026-11-22` (UTC)."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a key may do; None: anything."""

    project: str | None = None
    """Noted with its sessions."""
    environments: list[str] | None = None
    """Whose tools it may use."""
    models: list[str] | None = None
    """Which it may name; `*` stands for anything."""
    budget_day: float | None = None
    """US dollars."""
    budget_month: float | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What was used in one period."""

    requests: int = 0
    tokens: int = 0
    cost: float = 0.0


def grant_of(row: KeyRow) -> Grant:
    """What the row allows."""
    return msgspec.json.decode(row.allows, type=Grant)


class KeyTable:
    """Reads keys and their use. Writing is the recorder's (or the store's) as of all rows."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[KeyRow]:
        """Every key, the oldest first, revoked ones included."""
        with self._store.reading() as connection:
            return list(structs(connection, KeyRow, select(schema.client_key).order_by(schema.client_key.c.created)))

    def any(self) -> bool:
        """Whether there is a key that was not revoked."""
        table = schema.client_key
        with self._store.reading() as connection:
            return connection.execute(select(table.c.id).where(table.c.revoked.is_(None)).limit(1)).first() is not None

    def find(self, digest: bytes) -> KeyRow | None:
        """The key of this digest, revoked or not."""
        table = schema.client_key
        with self._store.reading() as connection:
            return next(structs(connection, KeyRow, select(table).where(table.c.digest == digest)), None)

    def used(self, key: str, month: str, minute: int, but: str = "") -> tuple[dict[str, Used], Used]:
        """What a key has used at all gateways but one: by days of a month (`2026-11`), and in a minute of unix time."""
        with self._store.reading() as connection:
            days = _sums(connection, key, but, month=month)
            [now] = _sums(connection, key, but, minute=minute).values() or [Used()]
        return days, now


def _sums(
    connection: Connection, key: str, but: str, *, month: str | None = None, minute: int | None = None
) -> dict[str, Used]:
    use = schema.key_use
    sums = (func.sum(use.c.requests), func.sum(use.c.tokens), func.sum(use.c.cost))
    query = select(use.c.period, *sums).where(use.c.key == key, use.c.gateway != but).group_by(use.c.period)
    if month is not None:
        query = query.where(use.c.period.startswith(month + "-", autoescape=True))
    else:
        query = query.where(use.c.period == MINUTE, use.c.minute == minute)
    found: Iterable[Any] = connection.execute(query)
    return {period: Used(requests=int(n), tokens=int(tokens), cost=float(cost)) for period, n, tokens, cost in found}
