"""The way from stored sessions to a captured environment: reading, choosing, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from drawbar.capture.candidate import Candidate
from drawbar.capture.catalogue import Catalogue
from drawbar.capture.reading import Reading
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
        self.redactions: Sequence[Mapping[str, Any]] = ()
        """What was made unrecognisable: `what`, how many `values`, in how many `places`."""

    @property
    def total(self) -> int:
        """How many sessions are meant."""
        return self._reading.total

    @property
    def left(self) -> int:
        """How many of them are left out so far."""
        return sum(left.count for left in self._reading.left.values())

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

    def captured(self, candidates: Sequence[Candidate] | None = None, *, side: str | None = None) -> Captured:
        """What an environment of these candidates (all, if none are named) is made of."""
        chosen = self.candidates if candidates is None else candidates
        every = [each for candidate in chosen for each in (candidate, *candidate.merged)]
        homes = self._catalogue.homes(
            (each.session for each in every), (recording for each in every for recording in each.recordings)
        )
        settings = self.settings if side is None else replace(self.settings, name=f"{self.settings.name}-{side}")
        return Captured(
            settings=settings, candidates=chosen, homes=homes, total=self.total, left=self._reading.left,
            steps=self.steps, redactions=self.redactions, side=side,
        )  # fmt: skip
