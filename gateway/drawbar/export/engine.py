"""The whole way from a store to rows, a page of sessions at a time, so that memory holds one page whatever there is.

sessions that the filter means -> the healthy ones -> samples -> rows
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from drawbar.errors import ConfigurationError
from drawbar.export.branches import THE_MAIN_ANSWER, Extent
from drawbar.export.choice import EVERY_SESSION, Choice, order
from drawbar.export.format import Format, Row, TellsTokens
from drawbar.export.healthy import RULES
from drawbar.export.notes import Note, NoteReader, labels
from drawbar.export.sample import words_of
from drawbar.export.sampling import Read, Sampler, broken_rule
from drawbar.export.tally import Tally
from drawbar.record.facts import FactReader, Facts
from drawbar.record.filter import EVERYTHING, Filter
from drawbar.record.store import Store
from drawbar.trajectory import Trajectory

if TYPE_CHECKING:
    from drawbar.capture.pseudonyms import Pseudonyms

PAGE: Final = 256
"""Sessions that are read at a time."""
ROWS: Final = 16
"""Rows that are made at a time: few enough for a processor's caches."""

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
    choice: Choice = EVERY_SESSION
    """What is taken of those that are fit."""
    redact: Pseudonyms | None = None
    """What makes personal data unrecognisable; None: nothing is changed."""

    def to_json(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {
            "format": self.format.name,
            "where": self.filter.text if self.redact is None else self.redact.text(self.filter.text),
            "all_threads": self.extent.all_threads,
            "branches": self.extent.branches,
            "rules": [] if "rows" in self.format.needs else [rule for rule in RULES if rule not in self.waived],
            "limit": self.limit,
            "seed": self.seed,
            "choice": self.choice.to_json(),
        }


class Exporting(Protocol):
    """An export under way, of whatever kind."""

    @property
    def tally(self) -> Tally:
        """What it comes to so far."""

    @property
    def sides(self) -> Sequence[str]:
        """The files that are made, by what is added to their name."""

    @property
    def emptied(self) -> str | None:
        """Why nothing was left, in words, where the counts do not say it."""

    @property
    def redactions(self) -> Sequence[Mapping[str, Any]] | None:
        """What was replaced: `what`, in how many `places`, how many `values`; None: nothing was to be."""

    def pages(self, listen: Listener | None = None, side: str = "") -> Iterator[list[Row]]:
        """The rows of a file, as many at a time as are made at once. Raises `StoreError`."""


def begin(store: Store, wanted: Wanted) -> Exporting:
    """The export that is wanted.

    Raises:
        ConfigurationError: the format does not go with what is wanted of it.
    """
    if wanted.redact is None:
        return _begin(store, wanted)
    from drawbar.export.redacted import RedactedExport

    format = wanted.format.without_tokens() if isinstance(wanted.format, TellsTokens) else wanted.format
    words = replace(wanted, format=format)
    return RedactedExport(format, _begin(store, words), _begin(store, words), wanted.redact)


def _begin(store: Store, wanted: Wanted) -> Export:
    if "rows" in wanted.format.needs:
        from drawbar.export.raw import RawExport

        if wanted.choice.looks_ahead or wanted.choice.dedupe.exact:
            raise ConfigurationError(f"{wanted.format.name} takes every session that --where means: choose with that.")
        return RawExport(store, wanted)
    if wanted.choice.looks_ahead or not wanted.format.needs.isdisjoint(("pairs", "task")):
        from drawbar.export.selected import begin_selected

        return begin_selected(store, wanted)
    return Export(store, wanted)


class Export:
    """One export under way. Blocking; not to be shared between threads."""

    page_size: ClassVar[int] = PAGE
    sides: Sequence[str] = ("",)
    emptied: str | None = None
    redactions: Sequence[Mapping[str, Any]] | None = None

    def __init__(self, store: Store, wanted: Wanted) -> None:
        self.tally = Tally()
        """What it comes to so far."""
        self._store = store
        self._wanted = wanted
        self._needs = wanted.format.needs
        self._facts = FactReader(store)
        self._sampler = Sampler(store, self._needs, wanted.extent)
        self._notes = NoteReader(store) if "labels" in self._needs else None
        self._noted: dict[str, list[Note]] = {}
        self._seen: set[tuple[bytes, tuple[bool | None, ...]]] = set()

    def pages(self, listen: Listener | None = None, side: str = "") -> Iterator[list[Row]]:
        """The rows of a file, some at a time. Raises `StoreError`."""
        ids = self._ids(side, listen)
        for start in range(0, len(ids), self.page_size):
            page = self._facts.sessions(ids[start : start + self.page_size])
            rows = self._rows(page)
            while some := list(islice(rows, ROWS)):
                yield some
            if listen is not None:
                listen(self.tally.looked_at, self.tally.meant)
            if self._is_enough():
                return

    def _ids(self, side: str, listen: Listener | None) -> Sequence[str]:
        """The sessions of a file. `listen`: who is to be told if that takes long."""
        ids = self._facts.ids(self._wanted.filter)
        self.tally.meant = len(ids)
        if self._wanted.seed is not None:
            ids.sort(key=order(self._wanted.seed))
        return ids

    def _is_enough(self) -> bool:
        return self._wanted.limit is not None and self.tally.sessions >= self._wanted.limit

    def _rows(self, page: Sequence[Facts]) -> Iterator[Row]:
        known: dict[str, Trajectory] = {}
        rules = {facts.id: broken_rule(self._store, facts, known, self._wanted.waived) for facts in page}
        if self._notes is not None:
            self._noted = self._notes.of([facts.id for facts in page])
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

    def _of_session(self, read: Read, rows: list[Row]) -> str | None:
        """Add a session's rows; why there are none, if there are none."""
        samples = read.samples
        if not samples:
            return "nothing_to_train"
        if "reward" in self._needs and read.grade.reward is None:
            return "no_reward"
        if "token_ids" in self._needs and not (samples := [it for it in samples if it.has_token_ids]):
            return "no_token_ids"
        if why := self._tell(read):
            return why
        if self._wanted.choice.dedupe.exact and self._is_known(read):
            return "duplicate"
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

    def _is_known(self, read: Read) -> bool:
        """Whether the same was said in a session before this one, and labelled the same, where it is."""
        said = words_of(read.samples), tuple(label for sample in read.samples for label in sample.labels)
        known = said in self._seen
        self._seen.add(said)
        return known

    def _tell(self, read: Read) -> str | None:
        """Give the samples of a session what the format needs beside them; the rule that it falls to, if it does."""
        if self._notes is None:
            return None
        noted = self._noted.get(read.facts.id, ())
        for sample in read.samples:
            sample.labels = labels(sample, read.grade, noted, self._wanted.choice.pass_threshold)
        known = any(label is not None for sample in read.samples for label in sample.labels)
        return None if known else "no_label"
