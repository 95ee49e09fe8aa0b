"""A bound on what judges may spend, for scoring that goes over many sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drawbar.judging import Ask


class BudgetSpent(RuntimeError):
    """A judge was not asked, because what judges may spend is spent."""


@dataclass
class JudgeBudget:
    """What judges may spend; None: any amount. It is asked for before each question, so the last one may exceed it."""

    cost: float | None = None
    """US dollars."""
    calls: int | None = None
    spent: float = 0.0
    asked: int = 0
    unpriced: int = 0
    """Questions of which nobody knows the price; they count as none of the cost."""

    @property
    def is_spent(self) -> bool:
        return (self.cost is not None and self.spent >= self.cost) or (
            self.calls is not None and self.asked >= self.calls
        )


class Asking:
    """How the judges of a few sessions reach models, within a budget."""

    def __init__(self, ask: Ask, budget: JudgeBudget) -> None:
        self._ask = ask
        self._budget = budget
        self.refused = False
        """Whether a judge was turned away: what it scored is not whole."""

    async def __call__(self, model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        if self._budget.is_spent:
            self.refused = True
            raise BudgetSpent("what judges may spend is spent")
        self._budget.asked += 1
        completion = await self._ask(model, body)
        cost = (completion.get("usage") or {}).get("cost")
        if isinstance(cost, int | float):
            self._budget.spent += cost
        else:
            self._budget.unpriced += 1
        return completion
