"""Sessions into a store: each once, all of it or nothing, and what was there before stays as it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import msgspec

from drawbar.errors import StoreError
from drawbar.export.losses import Losses
from drawbar.importing.packet import Damage, Item, Packet
from drawbar.record.archive import Archive, Archived
from drawbar.record.redaction import Redact, all_redacted
from drawbar.record.rows import Row, RunRow, ScoreRow
from drawbar.record.store import Store

_BATCH: Final = 4_000
"""Rows of a transaction, about; a session is never parted."""
_TOLD: Final = 1_000
"""Places that are told one by one; the rest are counted."""
_LATER: Final = frozenset({"status", "ended", "rubric_version"})
"""What of a run changes while it goes on."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that was not taken."""

    file: str
    place: str
    why: str
    session: str | None = None


@dataclass(slots=True)
class Outcome:
    """What has come of an import so far."""

    sessions: int = 0
    """Those that were read."""
    added: int = 0
    known: int = 0
    """Those that were there already, with the same content."""
    scores: int = 0
    """Of sessions that were there: scores that were not."""
    damaged: int = 0
    """Places that could not be read."""
    conflicts: int = 0
    """Sessions that are there with other content, or that could not be written."""
    refused: list[Refused] = field(default_factory=list)
    """What was damaged or in conflict, one by one, as far as there is room."""
    formats: dict[str, str] = field(default_factory=dict)
    """The format of each file."""
    losses: Losses = field(default_factory=Losses)

    @property
    def whole(self) -> bool:
        """Whether all was taken."""
        return not self.damaged and not self.conflicts

    def to_json(self) -> dict[str, Any]:
        return {
            "sessions": self.sessions, "added": self.added, "already_there": self.known, "scores_added": self.scores,
            "damaged": self.damaged, "conflicts": self.conflicts,
            "refused": [asdict(it) for it in self.refused],
            "losses": self.losses.to_json(), "formats": self.formats,
        }  # fmt: skip


class Intake:
    """One import under way. Blocking; not to be shared between threads."""

    def __init__(self, store: Store | None, redact: Redact | None = None, *, dry: bool = False) -> None:
        """`store`: None where there is none yet, and nothing is to be written. `dry`: look, and write nothing."""
        self.outcome = Outcome()
        self._store = store
        self._redact = redact
        self._dry = dry or store is None
        self._archive = Archive()
        self._pending: dict[str, tuple[Packet, list[Row]]] = {}
        self._rows = 0
        self._file = ""

    def take(self, file: str, items: Iterable[Item]) -> None:
        """Take the sessions of a file. Raises `StoreError` where the store cannot be written at all."""
        self._file = file
        for item in items:
            if isinstance(item, Damage):
                self.outcome.damaged += 1
                self._refuse(item.place, item.why)
                continue
            self.outcome.sessions += 1
            if item.archived.session.id in self._pending:
                self._flush()
            self._one(item)
            if self._rows >= _BATCH:
                self._flush()
        self._flush()

    def _one(self, packet: Packet) -> None:
        id = packet.archived.session.id
        there = self._there(id)
        if there is None:
            if why := self._of_other_run(packet.archived.run):
                return self._conflict(packet, why)
            self._pend(packet, list(packet.archived.rows()), new=True)
        elif packet.by_content:
            self.outcome.known += 1
        elif differs := self._difference(packet.archived, there):
            self._conflict(packet, f"the session {id} is there with other content ({differs}); it is left as it is")
        else:
            self.outcome.known += 1
            known = {score.id for score in there.scores}
            self._pend(packet, [score for score in packet.archived.scores if score.id not in known], new=False)

    def _there(self, id: str) -> Archived | None:
        if self._store is None:
            return None
        if self._store.session(id) is None:
            return None
        with self._store.reading() as connection:
            return self._archive.read(connection, id)

    def _difference(self, given: Archived, there: Archived) -> str | None:
        """Where two sessions of one id are not the same, once this store's redaction has been at work; scores aside."""
        if not self._same([given.session], [there.session]):
            return "what is said of it"
        if not self._same(given.calls, there.calls):
            return "its model calls"
        if not self._same(given.tool_calls, there.tool_calls):
            return "its tool calls"
        if {node.id for node in given.nodes} != {node.id for node in there.nodes}:
            return "its messages"
        known = {score.id: score for score in there.scores}
        both = [score for score in given.scores if score.id in known]
        return None if self._same(both, [known[score.id] for score in both]) else "its scores"

    def _same(self, given: Iterable[Row], there: Iterable[Row]) -> bool:
        given, there = list(given), list(there)
        return given == there or list(all_redacted(given, self._redact)) == there

    def _of_other_run(self, run: RunRow | None) -> str | None:
        """Why a session's run is another one than the run of the same id that is there."""
        there = self._store.run(run.id) if self._store is not None and run is not None else None
        if run is None or there is None:
            return None
        later = {name: getattr(there, name) for name in _LATER}
        if self._same([msgspec.structs.replace(run, **later)], [there]):
            return None
        return f"its run {run.id} is there with other content"

    def _pend(self, packet: Packet, rows: list[Row], *, new: bool) -> None:
        if not new and not rows:
            return
        self._pending[packet.archived.session.id] = (packet, self._left(rows))
        self._rows += len(rows)

    def _left(self, rows: Iterable[Row]) -> list[Row]:
        """The rows but for a run that is there: it may have gone on."""
        return [
            row
            for row in rows
            if not (isinstance(row, RunRow) and self._store is not None and self._store.run(row.id) is not None)
        ]

    def _flush(self) -> None:
        pending, self._pending, self._rows = list(self._pending.values()), {}, 0
        if not pending:
            return
        try:
            self._write(row for _, rows in pending for row in rows)
        except StoreError:
            for packet, rows in pending:  # one of them cannot be written, or none
                try:
                    self._write(rows)
                except StoreError as error:
                    self._conflict(packet, str(error))
                else:
                    self._written(packet, rows)
        else:
            for packet, rows in pending:
                self._written(packet, rows)

    def _write(self, rows: Iterable[Row]) -> None:
        if not self._dry and self._store is not None:
            self._store.write(all_redacted(list(rows), self._redact))

    def _written(self, packet: Packet, rows: list[Row]) -> None:
        if all(isinstance(row, ScoreRow) for row in rows):
            self.outcome.scores += len(rows)
            return
        self.outcome.added += 1
        for what, times in packet.losses:
            self.outcome.losses.note(what, times)
        self.outcome.losses.keep()

    def _conflict(self, packet: Packet, why: str) -> None:
        self.outcome.conflicts += 1
        self._refuse(packet.place, why, packet.archived.session.id)

    def _refuse(self, place: str, why: str, session: str | None = None) -> None:
        if len(self.outcome.refused) < _TOLD:
            self.outcome.refused.append(Refused(self._file, place, why, session))
