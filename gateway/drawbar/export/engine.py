"""The whole way from a store to rows, a page of sessions at a time, so that memory holds one page whatever there is.

sessions that the filter means -> the healthy ones -> samples -> rows
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, ClassVar, Final

from drawbar.export.branches import THE_MAIN_ANSWER, Extent
from drawbar.export.format import Format, Row
from drawbar.export.healthy import RULES, fallen_to
from drawbar.export.sample import Sample
from drawbar.export.sampling import Read, Sampler
from drawbar.export.tally import Tally
from drawbar.record.facts import FactReader, Facts
from drawbar.record.filter import EVERYTHING, Filter
from drawbar.record.store import Store
from drawbar.trajectory import Trajectory

PAGE: Final = 128
"""Sessions that are read at a time."""

Listener = Callable[[int, int], None]
"""Told how many sessions were looked at, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be exported."""

    format: Format
    filter: Filter = EVERYTHING
    extent: Extent = THE_MAIN_ANSWER
    waived: frozenset[str] = field(default_factory=frozenset)
    """Rules of health (`healthy.RULES`) that sessions may break."""
    limit: int | None = None
    """At most so many sessions."""
    seed: int | None = None
    """Sessions in an order that it decides; None: the oldest first."""

    def to_json(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {
            "format": self.format.name,
            "where": self.filter.text,
            "all_threads": self.extent.all_threads,
            "branches": self.extent.branches,
            "rules": [] if "rows" in self.format.needs else [rule for rule in RULES if rule not in self.waived],
            "limit": self.limit,
            "seed": self.seed,
        }


def begin(store: Store, wanted: Wanted) -> Export:
    """The export that a format wants."""
    if "rows" in wanted.format.needs:
        from drawbar.export.raw import RawExport

        return RawExport(store, wanted)
    return Export(store, wanted)


class Export:
    """One export under way. Blocking; not to be shared between threads."""

    page_size: ClassVar[int] = PAGE

    def __init__(self, store: Store, wanted: Wanted) -> None:
        self.tally = Tally()
        """What it comes to so far."""
        self._store = store
        self._wanted = wanted
        self._needs = wanted.format.needs
        self._facts = FactReader(store)
        self._sampler = Sampler(store, self._needs, wanted.extent)

    def pages(self, listen: Listener | None = None) -> Iterator[list[Row]]:
        """The rows, as many at a time as a page of sessions has. Raises `StoreError`."""
        ids = self._ids()
        self.tally.meant = len(ids)
        for start in range(0, len(ids), self.page_size):
            page = self._facts.sessions(ids[start : start + self.page_size])
            with _collecting_seldom():
                rows = list(self._rows(page))
            yield rows
            if listen is not None:
                listen(self.tally.looked_at, self.tally.meant)
            if self._is_enough():
                return

    def _ids(self) -> list[str]:
        ids = self._facts.ids(self._wanted.filter)
        if self._wanted.seed is not None:
            key = str(self._wanted.seed).encode()[:64]
            ids.sort(key=lambda id: blake2b(id.encode(), key=key, digest_size=8).digest())
        return ids

    def _is_enough(self) -> bool:
        return self._wanted.limit is not None and self.tally.sessions >= self._wanted.limit

    def _rows(self, page: Sequence[Facts]) -> Iterator[Row]:
        known: dict[str, Trajectory] = {}
        rules = {facts.id: self._rule(facts, known) for facts in page}
        read = self._sampler.read([facts for facts in page if rules[facts.id] is None], known)
        for facts in page:
            if self._is_enough():
                return
            self.tally.looked_at += 1
            rule, rows = rules[facts.id], list[Row]()
            if rule is None:
                rule = self._of_session(next(read), rows)
            if rule is not None:
                self.tally.fallen[rule] += 1
            yield from rows

    def _rule(self, facts: Facts, known: dict[str, Trajectory]) -> str | None:
        """The rule of health that a session breaks. One that nobody has looked at yet is looked at now."""
        findings = facts.findings
        if findings is None:
            found = known[facts.id] = self._store.trajectory(facts.id)
            findings = [finding.name for finding in found.health]
        return fallen_to(facts, findings, self._wanted.waived)

    def _of_session(self, read: Read, rows: list[Row]) -> str | None:
        """Add a session's rows; why there are none, if there are none."""
        samples = read.samples
        if not samples:
            return "nothing_to_train"
        if "reward" in self._needs and read.grade.reward is None:
            return "no_reward"
        if "token_ids" in self._needs and not (samples := list(filter(_has_token_ids, samples))):
            return "no_token_ids"
        before = len(rows)
        for sample in samples:
            made = list(self._wanted.format.rows(sample, self.tally.losses))
            if made:
                self.tally.losses.keep()
                self.tally.take_sample(sample, len(made))
                rows += made
            else:
                self.tally.losses.forget()
        if len(rows) == before:
            return "no_row"
        self.tally.take(read.facts, read.grade)
        return None


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """A page is many objects without a circle among them: to look for circles again and again costs a tenth of it."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], PAGE * 1_000), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _has_token_ids(sample: Sample) -> bool:
    """Whether those of all replies that are trained were recorded, and of what they were asked with."""
    assert sample.trajectory is not None
    trained = {id for id, own in zip(sample.calls, sample.trained, strict=True) if own}
    told = (call.tokens for call in sample.trajectory.calls if call.id in trained)
    return all(it is not None and None not in (it.token_ids, it.prompt_token_ids) for it in told)
