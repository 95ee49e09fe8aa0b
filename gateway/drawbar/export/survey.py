"""The first way through the store, where something can be chosen only once all sessions have been seen. Of each that is
fit no more is kept than a few numbers, so that memory stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
import orjson
from sqlalchemy import select

from drawbar.export.choice import Choice
from drawbar.export.format import Need
from drawbar.export.notes import Note, NoteReader, is_pair, labels
from drawbar.export.sample import Grade, Sample, words_of
from drawbar.export.sampling import Sampler, broken_rule, grade_of
from drawbar.export.task_filter import TaskRewards
from drawbar.ids import digest
from drawbar.record.facts import FactReader, Facts
from drawbar.record.schema import session
from drawbar.record.store import Store
from drawbar.trajectory import Trajectory

STEP: Final = 8
"""Bytes by which a message on the way is known again."""
_PAGE: Final = 128

Fall = Callable[[str, int], None]
"""Told of a rule, and how many sessions fell to it."""


class Seen(msgspec.Struct, gc=False):
    """A session that is fit to be exported, in few bytes. They stand in the order in which they began."""

    id: str
    environment: str | None
    task: int
    """The number of its task."""
    reward: float | None
    turns: int
    """Replies that are its own."""
    length: int | None
    """Their tokens; None: not all of them were counted."""
    words: bytes
    """What is the same in two sessions where all that was said is the same."""
    offered: bytes
    """What is the same where the tools were the same."""
    path: bytes = b""
    """For pairs: its messages, `STEP` bytes for each."""
    own: int = 0
    """For pairs: a bit for each of them, set where it is the model's own reply."""
    noted: bool = False
    """For pairs: whether people said something of it that a pair can be made of."""
    labels: tuple[bool | None, ...] = ()
    """For labels: whether its replies are wanted."""
    live: bool = False
    user: bytes | None = None
    """For a split: whose it is, of a live session."""
    family: bytes | None = None
    """For a split: the first of the sessions that it goes on from."""


class Survey:
    """Goes through the sessions that are meant. Not to be shared between threads."""

    def __init__(
        self, store: Store, sampler: Sampler, choice: Choice, needs: frozenset[Need], waived: frozenset[str], fall: Fall
    ) -> None:
        self.seen: list[Seen] = []
        self.tasks: list[TaskRewards] = []
        self.hashes: list[str | None] = []
        """Of each task the hash; None: it is what live sessions began with."""
        self._store = store
        self._facts = FactReader(store)
        self._sampler = sampler
        self._choice = choice
        self._needs = needs
        self._waived = waived
        self._fall = fall
        self._numbers: dict[tuple[str | None, str] | bytes, int] = {}
        self._names: dict[str | None, str | None] = {}
        self._offers: dict[int, tuple[object, bytes]] = {}
        self._families = _Families(store)
        self._notes = NoteReader(store)
        self._needs_reward = choice.select.by_reward or not needs.isdisjoint(("reward", "pairs"))

    def read(self, ids: Sequence[str], listen: Callable[[int], None]) -> None:
        """See these sessions, the oldest first; `listen` is told how many have been. Raises `StoreError`."""
        for start in range(0, len(ids), _PAGE):
            page = self._facts.sessions(ids[start : start + _PAGE])
            self._page(page)
            listen(min(start + _PAGE, len(ids)))

    def _page(self, page: Sequence[Facts]) -> None:
        known: dict[str, Trajectory] = {}
        rules = {facts.id: broken_rule(self._store, facts, known, self._waived) for facts in page}
        self._count([facts for facts in page if rules[facts.id] is not None and facts.valid and facts.task_hash])
        notes = self._noted([facts.id for facts in page])
        families = self._families.of(page) if self._choice.split is not None else {}
        read = self._sampler.read([facts for facts in page if rules[facts.id] is None], known)
        for facts in page:
            rule = rules[facts.id]
            if rule is None:
                found = next(read)
                rule = self._take(facts, found.grade, found.samples, notes.get(facts.id, ()), families)
            if rule is not None:
                self._fall(rule, 1)

    def _count(self, unhealthy: Sequence[Facts]) -> None:
        """Rollouts that are not exported, but count for their tasks."""
        scores = self._facts.scores([facts.id for facts in unhealthy])
        for facts in unhealthy:
            reward = grade_of(scores[facts.id]).reward if facts.id in scores else None
            if reward is not None:
                self.tasks[self._number(facts, None)].rewards.append(reward)

    def _noted(self, ids: Sequence[str]) -> Mapping[str, Sequence[Note]]:
        return {} if self._needs.isdisjoint(("pairs", "labels")) else self._notes.of(ids)

    def _take(
        self,
        facts: Facts,
        grade: Grade,
        samples: Sequence[Sample],
        notes: Sequence[Note],
        families: Mapping[str, tuple[bytes | None, bytes]],
    ) -> str | None:
        """Keep a session; the rule that it falls to, if it falls."""
        if not samples:
            return "nothing_to_train"
        number = self._number(facts, samples[0])
        if grade.reward is not None and facts.valid:
            self.tasks[number].rewards.append(grade.reward)
        noted = "pairs" in self._needs and is_pair(notes)
        if self._needs_reward and grade.reward is None and not noted:
            return "no_reward"
        held_out = self._choice.held_out
        if held_out is not None and (held_out.has(facts.task_hash) or any(map(held_out.repeated_by, samples))):
            return "held_out"
        seen = self._seen(facts, grade, samples, number)
        seen.noted = noted
        if "labels" in self._needs:
            of = (labels(sample, grade, notes, self._choice.pass_threshold) for sample in samples)
            seen.labels = tuple(label for each in of for label in each if label is not None)
        if facts.id in families:
            seen.user, seen.family = families[facts.id]
        self.seen.append(seen)
        return None

    def _seen(self, facts: Facts, grade: Grade, samples: Sequence[Sample], number: int) -> Seen:
        counts = [sample.trained_tokens for sample in samples]
        made = Seen(
            id=facts.id,
            environment=self._names.setdefault(facts.environment, facts.environment),
            task=number,
            reward=grade.reward,
            turns=sum(sum(sample.trained) for sample in samples),
            length=sum(it for it in counts if it is not None) if None not in counts else None,
            words=words_of(samples),
            offered=self._offered(samples[0]),
            live=facts.task_hash is None,
        )
        if "pairs" in self._needs:
            made.path = b"".join(said.node[:STEP] for said in samples[0].said)
            made.own = sum(1 << place for place, own in enumerate(samples[0].trained) if own)
        return made

    def _number(self, facts: Facts, sample: Sample | None) -> int:
        """A session's task: by its hash, or by what a live session began with."""
        key: tuple[str | None, str] | bytes
        if facts.task_hash is not None:
            key = (facts.environment, facts.task_hash)
        else:
            assert sample is not None
            key = (facts.environment or "").encode() + opening(sample)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.tasks)
            self.tasks.append(TaskRewards(self._choice.pass_threshold))
            self.hashes.append(facts.task_hash)
        return number

    def _offered(self, sample: Sample) -> bytes:
        """Of the tools; those of most sessions are one and the same object."""
        known = self._offers.get(id(sample.offered))
        if known is None or known[0] is not sample.offered:
            if len(self._offers) > 4096:
                self._offers.clear()
            made = digest(orjson.dumps([sample.tools, sorted(sample.offered.texts)]))[:STEP]
            known = self._offers[id(sample.offered)] = (sample.offered, made)
        return known[1]


def opening(sample: Sample) -> bytes:
    """What is the same in two conversations where all that came before the model's first own reply is the same."""
    first = sample.trained.index(True)
    return sample.said[max(0, first - 1)].node


class _Families:
    """Whose live sessions are, and from which they go on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._before: dict[str, str | None] = {}

    def of(self, page: Sequence[Facts]) -> dict[str, tuple[bytes | None, bytes]]:
        """Of the live sessions of a page: the user, if it is known, and the family."""
        live = [facts for facts in page if facts.task_hash is None]
        query = select(session.c.id, session.c.continues).where(session.c.id.in_([facts.id for facts in live]))
        with self._store.reading() as connection:
            continued = {str(id): before for id, before in connection.execute(query) if before is not None}
        self._before |= continued
        return {facts.id: (_user(facts), _short(self._root(facts.id))) for facts in live}

    def _root(self, id: str) -> str:
        seen = {id}
        while True:
            before = self._before.get(id) if len(seen) == 1 else self._earlier(id)
            if before is None or before in seen:
                return id
            seen.add(before)
            id = before

    def _earlier(self, id: str) -> str | None:
        if id not in self._before:
            row = self._store.session(id)
            self._before[id] = None if row is None else row.continues
        return self._before[id]


def _user(facts: Facts) -> bytes | None:
    user = orjson.loads(facts.metadata).get("user") if facts.metadata else None
    return _short(user) if isinstance(user, str) and user else None


def _short(text: str) -> bytes:
    return digest(text.encode(errors="replace"))[:STEP]


def tasks_of(seen: Sequence[Seen]) -> Iterator[list[Seen]]:
    """Sessions by task, in the order in which the tasks began."""
    found: dict[int, list[Seen]] = {}
    for each in seen:
        found.setdefault(each.task, []).append(each)
    yield from found.values()
