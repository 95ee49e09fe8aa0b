"""Both sides of a pair, read: two samples that are the same up to a reply of the model's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from drawbar.export.branches import Extent, samples
from drawbar.export.notes import Note, NoteReader
from drawbar.export.pairing import Pair
from drawbar.export.sample import Said, Sample
from drawbar.export.sampling import Read
from drawbar.ids import digest
from drawbar.record.feedback import CORRECTION
from drawbar.record.store import Store
from drawbar.wire.tolerant import dump

_EVERYTHING: Final = Extent(all_threads=True, branches=True)


class Both(NamedTuple):
    """A better and a worse reply, each at the end of what it answers, or with all that followed."""

    chosen: Sample
    rejected: Sample
    at: int
    """Where they part: which of the messages is the reply."""


class PairReader:
    """Reads pairs. Not to be shared between threads."""

    def __init__(self, store: Store, people: NoteReader, *, whole: bool) -> None:
        """`whole`: with all that followed."""
        self._store = store
        self._people = people
        self._whole = whole

    def read(self, pairs: Sequence[Pair], known: Mapping[str, Read]) -> Iterator[Both | None]:
        """Both sides of each; None: they are no longer what they were, or say the same. `known`: their sessions."""
        of = [pair.rejected for pair in pairs if pair.source == "corrections"]
        notes = self._people.of(of) if of else {}
        for pair in pairs:
            if pair.chosen not in known or pair.rejected not in known:
                yield None
            elif pair.source == "corrections":
                yield self._corrected(pair, known[pair.rejected], notes.get(pair.rejected, ()))
            elif pair.chosen_call is not None:
                yield self._replies(pair, known[pair.chosen])
            else:
                yield self._parting(known[pair.chosen], known[pair.rejected])

    def _parting(self, chosen: Read, rejected: Read) -> Both | None:
        if not chosen.samples or not rejected.samples:
            return None
        one, other = chosen.samples[0], rejected.samples[0]
        both = zip(one.said, other.said, strict=False)
        at = next((place for place, (a, b) in enumerate(both) if a.node != b.node), None)
        if at is None or not (one.trained[at] and other.trained[at]):
            return None
        return Both(self._cut(one, at), self._cut(other, at), at)

    def _replies(self, pair: Pair, read: Read) -> Both | None:
        """Two replies of one session to the same request."""
        better, worse = self._with(read, pair.chosen_call), self._with(read, pair.rejected_call)
        if better is None or worse is None or better[1] != worse[1]:
            return None
        at = better[1]
        return Both(self._cut(better[0], at), self._cut(worse[0], at), at)

    def _corrected(self, pair: Pair, read: Read, notes: Sequence[Note]) -> Both | None:
        text = next((it.text for it in notes if it.name == CORRECTION and it.call == pair.rejected_call), None)
        found = self._with(read, pair.rejected_call)
        if text is None or found is None:
            return None
        sample, at = found
        body = dump({"role": "assistant", "content": text})
        said = [*sample.said[:at], Said(digest(sample.said[at].node, body), "chat", body)]
        chosen = replace(cut(sample, at), said=said, calls=[*sample.calls[:at], None], tokens=None, trained_tokens=None)
        return Both(chosen, cut(sample, at), at)

    def _with(self, read: Read, call: str | None) -> tuple[Sample, int] | None:
        """The conversation that has this reply, and where; without a call, the session's last reply."""
        if call is None:
            return (read.samples[0], len(read.samples[0].said) - 1) if read.samples else None
        for sample in self._all(read, call):
            if call in sample.calls:
                return sample, sample.calls.index(call)
        return None

    def _all(self, read: Read, call: str) -> Sequence[Sample]:
        if any(call in sample.calls for sample in read.samples):
            return read.samples
        found = samples(self._store.trajectory(read.facts.id), read.facts, _EVERYTHING)
        return [replace(sample, grade=read.grade, trajectory=None) for sample in found]

    def _cut(self, sample: Sample, at: int) -> Sample:
        if not self._whole:
            return cut(sample, at)
        return replace(sample, trained=[own and place >= at for place, own in enumerate(sample.trained)])


def cut(sample: Sample, at: int) -> Sample:
    """The conversation up to this reply, which alone is trained."""
    ends = at == len(sample.said) - 1
    alone = ends and sum(sample.trained) == 1
    return replace(
        sample,
        said=sample.said[: at + 1],
        trained=[*(False for _ in range(at)), True],
        calls=sample.calls[: at + 1],
        tokens=sample.tokens if ends else None,
        trained_tokens=sample.trained_tokens if alone else None,
    )
