"""An export of pairs: which there are is known once all sessions have been seen; then both sides of each are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from drawbar.export.choice import PAIRS_PER_TASK
from drawbar.export.engine import Listener, Wanted
from drawbar.export.format import PairFormat, Row
from drawbar.export.notes import NoteReader
from drawbar.export.pair_reading import PairReader
from drawbar.export.pairing import Pair, noted, siblings
from drawbar.export.sampling import Read
from drawbar.export.selected import SelectedExport, sessions_of
from drawbar.export.selecting import Unit, unit
from drawbar.export.survey import Seen, tasks_of
from drawbar.record.store import Store

_PAGE: Final = 64
"""Pairs that are read at a time."""


class PairExport(SelectedExport):
    """Pairs of replies. Blocking; not to be shared between threads."""

    def __init__(self, store: Store, wanted: Wanted, format: PairFormat) -> None:
        super().__init__(store, wanted)
        self._format = format
        self._people = NoteReader(store)
        self._pairs = PairReader(store, self._people, whole=wanted.choice.whole)
        self._to_come: Counter[str] = Counter()
        """Of each session the pairs that are still to be written."""
        self._with_rows: set[str] = set()

    def pages(self, listen: Listener | None = None, side: str = "") -> Iterator[list[Row]]:
        """The rows of a file, as many at a time as a page of pairs has. Raises `StoreError`."""
        units = self._of_side(side, listen)
        self._to_come.update(id for unit in units for id in unit.sessions)
        for start in range(0, len(units), _PAGE):
            yield list(self._page(units[start : start + _PAGE]))
            if listen is not None:
                listen(self.tally.looked_at, self.tally.meant)

    def _made(self, seen: Sequence[Seen], side_of: Mapping[str, str]) -> list[Unit]:
        choice = self._wanted.choice
        most = choice.per_task or PAIRS_PER_TASK
        by_id = {each.id: each for each in seen}
        found: list[Unit] = []
        spare: set[str] = set()
        for task in tasks_of(seen):
            of_people = self._of_notes([each.id for each in task if each.noted])
            of_task = siblings(task, choice, max(0, most - len(of_people)), self._order)
            spare |= of_task.spare.union(pair.chosen for pair in of_people)
            pairs = [*of_people[:most], *of_task.pairs]
            found += (unit(by_id[pair.chosen], side_of[pair.chosen], pair) for pair in pairs)
        spare -= sessions_of(found)
        self._fall("per_task", len(spare))
        self._fall("no_pair", len(seen) - len(sessions_of(found)) - len(spare))
        return found

    def _of_notes(self, ids: Sequence[str]) -> list[Pair]:
        if not ids:
            return []
        notes, calls = self._people.of(ids), self._facts.calls(ids)
        return [pair for id in ids for pair in noted(id, notes.get(id, ()), calls.get(id, ()), self._wanted.choice)]

    def _page(self, units: Sequence[Unit]) -> Iterator[Row]:
        ids = dict.fromkeys(id for unit in units for id in unit.sessions)
        read = {it.facts.id: it for it in self._sampler.read(self._facts.sessions(list(ids)), {})}
        pairs = [unit.pair for unit in units if unit.pair is not None]
        for each, both in zip(units, self._pairs.read(pairs, read), strict=True):
            rows: list[Row] = []
            if both is not None:
                rows = list(self._format.pair_rows(both.chosen, both.rejected, both.at, self.tally.losses))
            if both is not None and rows:
                self.tally.losses.keep()
                self.tally.take_sample(both.chosen, len(rows))
                self.tally.take_sample(both.rejected, 0)
            else:
                self.tally.losses.forget()
            self._written(each, read, bool(rows))
            yield from rows

    def _written(self, unit: Unit, read: Mapping[str, Read], rows: bool) -> None:
        """Count the sessions of which this was the last pair."""
        if rows:
            self._with_rows.update(unit.sessions)
        for id in unit.sessions:
            self._to_come[id] -= 1
            if self._to_come[id]:
                continue
            if id in self._with_rows and id in read:
                self.tally.looked_at += 1
                self.tally.take(read[id].facts, read[id].grade)
            else:
                self._fall("no_row", 1)
