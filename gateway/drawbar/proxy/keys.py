"""Keys of clients that the store holds: what each may ask, and what is left of its budgets and rates.

The store keeps a key's digest, never the key. Each gateway counts what it answered, in rows of its own that are written
with the calls: no gateway adds to another's, so nothing is counted twice, and a restart begins a new row. What other
gateways (and earlier ones) counted is read again at most every `LOOK` seconds. So a budget may be passed by what is
under way when it is reached, and by what other gateways answer within `LOOK` seconds; no more.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

import anyio.to_thread

from drawbar.errors import StoreError
from drawbar.ids import digest, new_id
from drawbar.proxy.refused import Refused
from drawbar.record.client_keys import MINUTE, Grant, KeyTable, Used, grant_of
from drawbar.record.rows import KeyRow, KeyUseRow
from drawbar.record.store import Store

KEY_PREFIX: Final = "dbg_"
LOOK = 1.0
"""Seconds for which what the store said of a key is taken for true."""
_MOST: Final = 10_000
"""Keys that are remembered, unknown ones included."""


class Holder:
    """One key in use at this gateway."""

    def __init__(self, row: KeyRow, gateway: str) -> None:
        self.row = row
        self.grant: Grant = grant_of(row)
        self._gateway = gateway
        self._day = ""
        self._minute = 0
        self._today = self._now = Used()
        self._others: dict[str, Used] = {}
        self._others_now = Used()

    @property
    def labels(self) -> dict[str, str]:
        """What is noted with its sessions."""
        project = {"project": self.grant.project} if self.grant.project is not None else {}
        return {"key": self.row.name, **project}

    def learn(self, row: KeyRow, days: dict[str, Used], now: Used) -> None:
        """What the store says, of the key and of its use at other gateways."""
        self.row, self.grant = row, grant_of(row)
        self._others, self._others_now = days, now

    def check_environment(self, name: str) -> None:
        """Raises `Refused` where it may not use this environment's tools."""
        if self.grant.environments is not None and name not in self.grant.environments:
            said = f"The key {self.row.name!r} may not use the environment {name!r}."
            raise Refused(403, said, "key_environment", retry=False)

    def admit(self, model: str | None, now: float | None = None) -> None:
        """Count a request. Raises `Refused` where the key may not make it (403), or not now (429)."""
        now = time.time() if now is None else now
        self._turn(now)
        grant, name = self.grant, self.row.name
        if model is not None and grant.models is not None and not any(fnmatchcase(model, m) for m in grant.models):
            raise Refused(403, f"The key {name!r} may not ask the model {model!r}.", "key_model", retry=False)
        today, month = self._spent()
        at = datetime.fromtimestamp(now, UTC)
        if grant.budget_day is not None and today >= grant.budget_day:
            raise _beyond(name, f"its budget of ${grant.budget_day:g} a day", "key_budget_day", _next_day(at))
        if grant.budget_month is not None and month >= grant.budget_month:
            raise _beyond(name, f"its budget of ${grant.budget_month:g} a month", "key_budget_month", _next_month(at))
        left = 60 - now % 60
        requests = self._now.requests + self._others_now.requests
        if grant.requests_per_minute is not None and requests >= grant.requests_per_minute:
            raise _beyond(name, f"its {grant.requests_per_minute:,} requests a minute", "key_requests", left)
        tokens = self._now.tokens + self._others_now.tokens
        if grant.tokens_per_minute is not None and tokens >= grant.tokens_per_minute:
            raise _beyond(name, f"its {grant.tokens_per_minute:,} tokens a minute", "key_tokens", left)
        self._add(1, 0, 0.0)

    def charge(self, tokens: int, cost: float) -> list[KeyUseRow]:
        """What a call came to; the rows that say so, whole."""
        self._turn(time.time())
        self._add(0, tokens, cost)
        return [
            KeyUseRow(
                key=self.row.id, period=period, gateway=self._gateway, minute=self._minute, requests=used.requests,
                tokens=used.tokens, cost=used.cost,
            )
            for period, used in ((self._day, self._today), (MINUTE, self._now))
        ]  # fmt: skip

    def _add(self, requests: int, tokens: int, cost: float) -> None:
        self._today, self._now = (
            Used(requests=used.requests + requests, tokens=used.tokens + tokens, cost=used.cost + cost)
            for used in (self._today, self._now)
        )

    def _turn(self, now: float) -> None:
        """Begin anew what a new day or a new minute begins anew."""
        minute, day = int(now // 60), day_of(now)
        if minute != self._minute:
            self._minute, self._now, self._others_now = minute, Used(), Used()
        if day != self._day:
            if self._day and self._day[:7] == day[:7]:
                before = self._others.get(self._day, Used()).cost + self._today.cost
                self._others[self._day] = Used(cost=before)
            self._day, self._today = day, Used()

    def _spent(self) -> tuple[float, float]:
        """US dollars, today and this month."""
        today = self._today.cost + self._others.get(self._day, Used()).cost
        month = sum(used.cost for day, used in self._others.items() if day[:7] == self._day[:7])
        return today, month + self._today.cost


class KeyRing:
    """The keys that this gateway has seen."""

    def __init__(self, store: Store) -> None:
        self._table = KeyTable(store)
        self._gateway = new_id("gw")
        self._holders: OrderedDict[bytes, tuple[float, Holder | None]] = OrderedDict()
        self._required: tuple[float, bool] = (-math.inf, False)
        self._looking = asyncio.Lock()
        """Held by who looks into the store, for all that ask meanwhile."""

    async def find(self, keys: Sequence[str]) -> Holder | None:
        """Who shows one of these keys, if it is one that the store holds and nobody revoked. Raises `StoreError`."""
        for key in keys:
            if key.startswith(KEY_PREFIX):
                holder = await self._holder(digest(key.encode()))
                if holder is not None and holder.row.revoked is None:
                    return holder
        return None

    async def required(self) -> bool:
        """Whether there are keys, so that clients must show one. Raises `StoreError`."""
        if not _is_fresh(self._required, 5 * LOOK):
            async with self._looking:
                looked, required = self._required
                if not _is_fresh(self._required, 5 * LOOK):
                    try:
                        required = await anyio.to_thread.run_sync(self._table.any)
                    except StoreError:
                        if looked == -math.inf:
                            raise
                    self._required = time.monotonic(), required  # what was true last, where it cannot be asked
        return self._required[1]

    async def _holder(self, name: bytes) -> Holder | None:
        never: tuple[float, Holder | None] = (-math.inf, None)
        if not _is_fresh(self._holders.get(name, never), LOOK):
            async with self._looking:
                _, holder = known = self._holders.get(name, never)
                if not _is_fresh(known, LOOK):
                    try:
                        holder = await anyio.to_thread.run_sync(self._look, name, holder)
                    except StoreError:
                        if holder is None:
                            raise
                    self._holders[name] = time.monotonic(), holder
                    while len(self._holders) > _MOST:
                        self._holders.popitem(last=False)
        return self._holders.get(name, never)[1]

    def _look(self, name: bytes, holder: Holder | None) -> Holder | None:
        row = self._table.find(name)
        if row is None:
            return None
        holder = holder or Holder(row, self._gateway)
        now = time.time()
        holder.learn(row, *self._table.used(row.id, day_of(now)[:7], int(now // 60), self._gateway))
        return holder


def day_of(now: float) -> str:
    """The day, as periods are named."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()


def _beyond(name: str, what: str, code: str, wait: float) -> Refused:
    seconds = max(1, math.ceil(wait))
    said = f"The key {name!r} has used up {what}; there is more in {seconds:,} seconds."
    return Refused(429, said, code, retry=seconds <= 60, after=seconds)


def _next_day(at: datetime) -> float:
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return (day + timedelta(days=1) - at).total_seconds()


def _next_month(at: datetime) -> float:
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return ((first + timedelta(days=32)).replace(day=1) - at).total_seconds()


def _is_fresh(known: tuple[float, object], seconds: float) -> bool:
    """Whether what was looked up is to be believed still."""
    return time.monotonic() - known[0] <= seconds
