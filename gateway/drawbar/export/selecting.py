"""From what a survey has seen to what is exported: one step after the other. Each step says what it leaves out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from drawbar.export.choice import Choice, Order
from drawbar.export.pairing import Pair
from drawbar.export.survey import Seen, tasks_of
from drawbar.export.task_filter import SAME


class Unit(NamedTuple):
    """What is taken or left as a whole: a session, or a pair."""

    sessions: tuple[str, ...]
    task: int
    environment: str | None
    side: str
    pair: Pair | None = None

    @property
    def name(self) -> str:
        """What tells it apart from all others."""
        return " ".join(map(str, self.sessions if self.pair is None else self.pair))


def unit(seen: Seen, side: str, pair: Pair | None = None) -> Unit:
    """Of a session, or of a pair that this is one of."""
    ids = (seen.id,) if pair is None else tuple(dict.fromkeys((pair.chosen, pair.rejected)))
    return Unit(ids, seen.task, seen.environment, side, pair)


def selected(seen: Sequence[Seen], choice: Choice, order: Order) -> list[Seen]:
    """Those that the selector takes of each task, in the order that they had."""
    if choice.select.name == "all":
        return list(seen)
    taken = {each.id for task in tasks_of(seen) for each in _of_task(task, choice, order)}
    return [each for each in seen if each.id in taken]


def _of_task(task: Sequence[Seen], choice: Choice, order: Order) -> Sequence[Seen]:
    select = choice.select
    drawn = sorted(task, key=lambda each: order(each.id))
    if select.name == "random-n":
        return drawn[: select.count]
    rated = [each for each in drawn if each.reward is not None]
    if select.name in ("best", "best-n"):
        return sorted(rated, key=_reward, reverse=True)[: select.count]
    correct = [each for each in rated if _reward(each) >= choice.pass_threshold - SAME]
    return correct if select.name == "correct" else sorted(correct, key=_length(correct))[:1]


def _reward(seen: Seen) -> float:
    assert seen.reward is not None
    return seen.reward


def _length(task: Iterable[Seen]) -> Callable[[Seen], int]:
    """How long a session is: by tokens, where they were counted in all of the task's."""
    if all(each.length is not None for each in task):
        return lambda each: each.length or 0
    return lambda each: each.turns


def capped(units: Sequence[Unit], most: int | None, key: Callable[[Unit], object], order: Order) -> list[Unit]:
    """At most so many that are alike by `key`, drawn by `order`; in the order that they had."""
    if most is None:
        return list(units)
    taken: set[int] = set()
    counts: Counter[object] = Counter()
    for at in sorted(range(len(units)), key=lambda at: order(units[at].name)):
        if counts[key(units[at])] < most:
            counts[key(units[at])] += 1
            taken.add(at)
    return [unit for at, unit in enumerate(units) if at in taken]


def mixed(units: Sequence[Unit], weights: Mapping[str, float], order: Order) -> list[Unit]:
    """As many of each environment as their weights allow, of each side; in the order that they had. An environment of
    which there is nothing lets nothing of the others through."""
    if not weights:
        return list(units)
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: {name: [] for name in weights})
    for at, each in enumerate(units):
        if each.environment is not None and each.environment in weights:
            found[each.side][each.environment].append(at)
    taken: set[int] = set()
    for by_name in found.values():
        scale = min(len(own) / weights[name] for name, own in by_name.items())
        for name, own in by_name.items():
            drawn = sorted(own, key=lambda at: order(units[at].name))
            taken.update(drawn[: int(scale * weights[name] + _ROUNDING)])
    return [each for at, each in enumerate(units) if at in taken]


_ROUNDING: Final = 1e-9
