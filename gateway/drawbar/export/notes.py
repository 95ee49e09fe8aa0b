"""What people said of sessions and of single replies, as far as it makes training data: ratings and corrections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import select

from drawbar.export.sample import Grade, Sample
from drawbar.record.feedback import CORRECTION
from drawbar.record.schema import score
from drawbar.record.store import Store

THUMBS: Final = "thumbs"
_CLOSE: Final = 1e-9


class Note(NamedTuple):
    """One thing that somebody said; of several of one name about the same reply, the last."""

    call: str | None
    """The model call that it is about; None: the whole session, and so its last answer."""
    name: str
    value: float | None
    text: str | None


class NoteReader:
    """Reads notes of many sessions at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, ids: Sequence[str]) -> dict[str, list[Note]]:
        """The notes of these sessions, by session; those without any are not there."""
        of = score.c
        query = select(of.session, of.call, of.name, of.value, of.explanation)
        query = query.where(of.session.in_(list(ids)), of.kind == "feedback").order_by(of.created, of.id)
        found = defaultdict[str, dict[tuple[str | None, str], Note]](dict)
        with self._store.reading() as connection:
            for session, *said in connection.execute(query):
                note = Note(*said)
                found[session][note.call, note.name] = note
        return {session: list(notes.values()) for session, notes in found.items()}


def is_pair(notes: Sequence[Note]) -> bool:
    """Whether a pair may come of them: a correction, or two replies that one thing was said of."""
    rated = [note.name for note in notes if note.call is not None and note.value is not None]
    return any(note.name == CORRECTION and note.text for note in notes) or len(set(rated)) < len(rated)


def labels(sample: Sample, grade: Grade, notes: Sequence[Note], threshold: float) -> list[bool | None]:
    """For each message whether the reply is wanted or not; None: it is not the model's own, or nobody knows.

    By the thumb that was given to the reply; else to the session; else by the reward, from the threshold on.
    """
    thumbs: Mapping[str | None, float] = {
        note.call: note.value for note in notes if note.name == THUMBS and note.value is not None
    }
    whole = None if grade.reward is None else grade.reward >= threshold - _CLOSE
    if None in thumbs:
        whole = thumbs[None] > 0
    own = zip(sample.trained, sample.calls, strict=True)
    return [(thumbs[call] > 0 if call in thumbs else whole) if trained else None for trained, call in own]
