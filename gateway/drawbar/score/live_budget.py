"""What the judges of live scoring have spent within the last hour, at all gateways on a store.

The scores themselves tell: each says what its judge was asked. So it holds after a restart, and for others. What other
gateways are just asking is not known yet: a budget may be passed by as many sessions as are scored at that moment.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final

import anyio.to_thread
import orjson

from drawbar.record.judged import judged
from drawbar.record.rows import ScoreRow
from drawbar.record.store import Store
from drawbar.score.live_rule import HOUR, LiveRule

FRESH: Final = 1.0
"""Seconds for which what the store said is believed."""
_LONGEST: Final = 1000.0
"""Seconds, and some more, that the scoring of a session may take: its scores can be read only then."""


class Budgets:
    """Of each environment whose rubric scores live traffic."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._spent: defaultdict[str, dict[tuple[str, str], tuple[float, int, float]]] = defaultdict(dict)
        """By score: when, how many questions, how many dollars."""
        self._asked: dict[str, float] = {}

    async def refusal(self, rule: LiveRule, others: Collection[str] = ()) -> str | None:
        """Why judges are not asked now; None if they may be. `others`: versions of rubrics that are somebody else's
        and score the same sessions. Raises `StoreError`."""
        if rule.judge_calls is None and rule.judge_cost is None:
            return None
        await self._refresh(rule.environment, others)
        now, spent = time.time(), self._spent[rule.environment]
        for score in [score for score, (at, _, _) in spent.items() if at <= now - HOUR]:
            del spent[score]
        if rule.judge_calls is not None and sum(calls for _, calls, _ in spent.values()) >= rule.judge_calls:
            return f"this hour's {rule.judge_calls} questions to judges have been asked"
        if rule.judge_cost is not None and sum(cost for *_, cost in spent.values()) >= rule.judge_cost:
            return f"this hour's {rule.judge_cost:g} dollars for judges are spent"
        return None

    def spend(self, environment: str, rows: Sequence[ScoreRow]) -> None:
        """These are about to be written."""
        for row in rows:
            if row.usage is not None:
                self._note(environment, row.session, row.id, row.created, row.usage)

    def _note(self, environment: str, session: str, id: str, created: float, usage: bytes) -> None:
        said: dict[str, Any] = orjson.loads(usage)
        self._spent[environment][session, id] = created, said.get("calls", 0), said.get("cost") or 0.0

    async def _refresh(self, environment: str, others: Collection[str]) -> None:
        now, asked = time.time(), self._asked.get(environment)
        if asked is None or not 0 <= now - asked < FRESH:
            since = (now - HOUR if asked is None else asked) - _LONGEST
            found = await anyio.to_thread.run_sync(judged, self._store, environment, since, others)
            for session, id, created, usage in found:
                self._note(environment, session, id, created, usage)
            self._asked[environment] = now
