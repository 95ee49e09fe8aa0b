"""How long sessions are kept: what is set, as filters for what may go. Pure; `pruning` deletes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from drawbar.errors import ConfigurationError
from drawbar.record.filter import Filter, equal, where
from drawbar.record.filter_tree import All, Condition, Not

DAY: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """For how many days after its end a session is kept; infinitely many: for ever.

    The first of `filters` that means a session decides; if none does, its environment; else whether it is a rollout.

    Raises:
        ConfigurationError: a filter that cannot be read, or a number of days that cannot be meant.
    """

    live: float = math.inf
    """Of sessions that belong to no run."""
    rollouts: float = math.inf
    """Of those that do."""
    environments: Mapping[str, float] = field(default_factory=dict)
    """By the name of the environment."""
    filters: Mapping[str, float] = field(default_factory=dict)
    """By what `--where` takes."""

    def __post_init__(self) -> None:
        for name, days in (("live", self.live), ("rollouts", self.rollouts), *self._named()):
            if not days > 0:
                raise ConfigurationError(f"Retention of {name} is a number of days above 0, or inf, not {days!r}.")
        for text in self.filters:
            if where(text).condition is None:
                raise ConfigurationError("Retention has a filter that says nothing; `live` and `rollouts` are for all.")

    @property
    def forever(self) -> bool:
        """Whether nothing is ever to go."""
        return all(math.isinf(days) for days in (self.live, self.rollouts, *(days for _, days in self._named())))

    def _named(self) -> Iterator[tuple[str, float]]:
        yield from self.environments.items()
        yield from self.filters.items()

    def over(self, now: float) -> list[Filter]:
        """The sessions whose time is over, each meant by one filter at most."""
        found: list[Filter] = []
        others: list[Condition] = []
        for condition, days in self._classes(now):
            if math.isfinite(days):
                ended = older_than(days * DAY, now)
                found.append(Filter(ended.text, All((*ended.clauses, condition, *others), ended.text)))
            others.append(Not(condition, ""))
        return found

    def _classes(self, now: float) -> Iterator[tuple[Condition, float]]:
        texts = [(where(text, now=now), days) for text, days in self.filters.items()]
        named = [(equal("environment", name), days) for name, days in self.environments.items()]
        rest = [(where("run is null"), self.live), (where("run is not null"), self.rollouts)]
        for filter, days in (*texts, *named, *rest):
            assert filter.condition is not None
            yield filter.condition, days


def older_than(seconds: float, now: float) -> Filter:
    """The sessions that have ended so long ago."""
    return where(f"status = ended and ended < {max(now - seconds, 1e8):.3f}", now=now)
