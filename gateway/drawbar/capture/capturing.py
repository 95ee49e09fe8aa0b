"""The way from stored sessions to a captured environment: reading, choosing, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from drawbar.capture.candidate import Candidate
from drawbar.capture.catalogue import Catalogue
from drawbar.capture.pseudonyms import Pseudonyms, pseudonymised
from drawbar.capture.reading import Left, Reading
from drawbar.capture.settings import Settings
from drawbar.capture.spool import Spool
from drawbar.capture.statistics import Captured
from drawbar.record.filter import Filter
from drawbar.record.store import Store
from drawbar.tools.cassettes.stored import Tools

Step = Callable[[list[Candidate]], list[Candidate]]
"""What chooses among candidates, or changes them."""


class Capturing:
    """One capture under way."""

    def __init__(
        self, store: Store, filter: Filter, settings: Settings, spool: Spool, listed: Tools | None = None
    ) -> None:
        """`listed`: what servers say of their tools, if they were asked."""
        self.settings = settings
        self._catalogue = Catalogue(listed)
        self._reading = Reading(
            store, filter, spool, self._catalogue, everything=settings.everything, read_only=settings.read_only
        )
        self.candidates: list[Candidate] = []
        self.steps: dict[str, int] = {}
        """Tasks that a step took away, by what is said of it."""

    @property
    def total(self) -> int:
        """How many sessions are meant."""
        return self._reading.total

    @property
    def left(self) -> Mapping[str, Left]:
        """Those that are left out so far, by the reason."""
        return self._reading.left

    def read(self, listen: Callable[[int], None]) -> None:
        """Read every session; `listen` is told how many have been. Raises `StoreError`, and `OSError` for the spool."""
        for number, candidate in enumerate(self._reading.candidates(), 1):
            if candidate is not None:
                self.candidates.append(candidate)
            listen(number)

    def take(self, step: Step, said: str = "") -> None:
        """Go on with what a step makes of the candidates. `said`: what became of those that it took away; empty where
        the others stand for them."""
        before = len(self.candidates)
        self.candidates = step(self.candidates)
        if said and (gone := before - len(self.candidates)):
            self.steps[said] = self.steps.get(said, 0) + gone

    def captured(
        self, sides: Mapping[str | None, Sequence[Candidate]], names: Pseudonyms | None = None
    ) -> list[Captured]:
        """What the environments of these candidates are made of, each by the name of its side (None: there are none).
        `names` makes unrecognisable what they say: last of all, as nothing before it can go by pseudonyms."""
        if names is None:
            return [self._captured(candidates, side) for side, candidates in sides.items()]
        kept = iter(pseudonymised([each for candidates in sides.values() for each in candidates], names))
        found = [self._captured(list(islice(kept, len(candidates))), side) for side, candidates in sides.items()]
        for each in found:
            names.learn([each.homes.header(), each.settings.query])
        query = names.text(self.settings.query)
        return [
            replace(each, names=names, redactions=names.report(), settings=replace(each.settings, query=query))
            for each in found
        ]

    def _captured(self, candidates: Sequence[Candidate], side: str | None) -> Captured:
        every = [each for candidate in candidates for each in (candidate, *candidate.merged)]
        homes = self._catalogue.homes(
            (each.session for each in every), (recording for each in every for recording in each.recordings)
        )
        settings = self.settings if side is None else replace(self.settings, name=f"{self.settings.name}-{side}")
        return Captured(
            settings=settings, candidates=candidates, homes=homes, total=self.total, left=self.left, steps=self.steps,
            side=side,
        )  # fmt: skip
