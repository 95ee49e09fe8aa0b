"""Everything of a session, as the store has it: one session to a line, for `drawbar import`.

Not a training format: it takes sessions in any health, with all their branches, envelopes, tool calls and scores, and
each line stands for itself, so that a damaged one harms no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from drawbar.export.engine import Export, Wanted
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.sample import UNGRADED, Sample
from drawbar.record.archive import Archive, to_json
from drawbar.record.facts import Facts
from drawbar.record.store import Store


class Raw:
    """`{"drawbar": "session", "version": 1, "session": {...}, "nodes": [...], "calls": [...], ..., "digest": "..."}`"""

    name = "raw"
    needs: frozenset[Need] = frozenset({"rows"})
    columns: Mapping[str, Column] | None = None

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        """None: its rows are made of whole sessions (`RawExport`)."""
        yield from ()


class RawExport(Export):
    """An export of whole sessions. Blocking; not to be shared between threads."""

    page_size = 16  # they are whole

    def __init__(self, store: Store, wanted: Wanted) -> None:
        super().__init__(store, wanted)
        self._archive = Archive()

    def _rows(self, page: Sequence[Facts]) -> Iterator[Row]:
        for facts in page:
            if self._is_enough():
                return
            self.tally.looked_at += 1
            with self._store.reading() as connection:
                archived = self._archive.read(connection, facts.id)
            if archived is None:
                continue  # it was deleted meanwhile
            self.tally.take(facts, UNGRADED)
            self.tally.rows += 1
            self.tally.messages += len(archived.nodes)
            yield to_json(archived)


FORMAT: Final = Raw()
