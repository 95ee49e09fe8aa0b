"""How much two calls' arguments agree, and which of many are the closest. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, TypeAlias

Leaves: TypeAlias = dict[str, Any]

_COMPARED: Final = 32
"""So many of those that share most with a call are compared with it in full."""
_LONGEST: Final = 1000
"""Characters of a text that are compared one by one; of a longer one, its words."""
_WORDS: Final = 64
"""Words of a text by which it is found."""


def leaves(arguments: Mapping[str, Any]) -> Leaves:
    """Every plain value by its path."""
    return dict(_leaves(arguments, ""))


def likeness(some: Leaves, others: Leaves) -> float:
    """From 0 to 1: the mean over all paths of how much the values there agree. What is missing on one side agrees not
    at all, numbers by their ratio, texts by their matching parts."""
    paths = some.keys() | others.keys()
    if not paths:
        return 1.0
    return sum(_agreement(some[path], others[path]) for path in paths if path in some and path in others) / len(paths)


class Closest:
    """Finds the closest of many arguments. Making one takes time that grows with their number, asking it hardly any."""

    def __init__(self, candidates: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        self._leaves = {id: leaves(arguments) for id, arguments in candidates}
        self._having: dict[str, list[int]] = defaultdict(list)
        for id, found in self._leaves.items():
            for mark in _marks(found):
                self._having[mark].append(id)

    def find(self, arguments: Mapping[str, Any], threshold: float) -> tuple[int, float] | None:
        """The closest one's number and likeness; None: none agrees as much as `threshold`."""
        wanted = leaves(arguments)
        found = [(likeness(wanted, self._leaves[id]), -place, id) for place, id in enumerate(self._promising(wanted))]
        best = max(found, default=None)
        return None if best is None or best[0] < threshold else (best[2], best[0])

    def _promising(self, wanted: Leaves) -> list[int]:
        marks = [self._having[mark] for mark in _marks(wanted) if mark in self._having]
        shared: Counter[int] = Counter()
        for having in sorted(marks, key=len):
            if shared and len(having) > 1000 and len(shared) >= _COMPARED:
                break  # what so many have tells none of them apart
            shared.update(having)
        if not shared:
            return list(self._leaves)[:_COMPARED]
        return [id for id, _ in sorted(shared.items(), key=lambda pair: (-pair[1], pair[0]))[:_COMPARED]]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for position, item in enumerate(value):
            yield from _leaves(item, f"{path}.{position}")
    elif path or value:
        yield path, value


def _marks(found: Leaves) -> set[str]:
    """What arguments are found by: their paths, with each short value or each word there."""
    marks: set[str] = set()
    for path, value in found.items():
        marks.add(path)
        if isinstance(value, str):
            marks.update(f"{path}={word}" for word in value.lower().split()[:_WORDS])
        else:
            marks.add(f"{path}={value}")
    return marks


def _agreement(one: Any, other: Any) -> float:
    if isinstance(one, bool) or isinstance(other, bool):
        return float(one is other)
    if isinstance(one, int | float) and isinstance(other, int | float):
        largest = max(abs(one), abs(other))
        return 1.0 if one == other else max(0.0, 1 - abs(one - other) / largest)
    if isinstance(one, str) and isinstance(other, str):
        return _same_text(one, other)
    return float(one == other)


def _same_text(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if max(len(one), len(other)) <= _LONGEST:
        return SequenceMatcher(None, one, other, autojunk=False).ratio()
    some, others = Counter(one.lower().split()), Counter(other.lower().split())
    return 2 * (some & others).total() / max(1, some.total() + others.total())
