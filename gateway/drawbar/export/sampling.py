"""From pages of sessions to samples, each with what its session was worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import NamedTuple

from drawbar.export.branches import Extent, samples
from drawbar.export.format import Need
from drawbar.export.groups import GroupReader
from drawbar.export.healthy import fallen_to
from drawbar.export.sample import UNGRADED, Grade, Sample
from drawbar.export.straight import StraightReader
from drawbar.record.facts import FactReader, Facts, ScoreFacts
from drawbar.record.store import Store
from drawbar.trajectory import Trajectory


class Read(NamedTuple):
    """A session, and what of it may be trained."""

    facts: Facts
    grade: Grade
    samples: Sequence[Sample]


class Sampler:
    """Reads samples. Not to be shared between threads."""

    def __init__(self, store: Store, needs: Set[Need], extent: Extent) -> None:
        self._store = store
        self._facts = FactReader(store)
        self._straight = StraightReader(self._facts, parallel="parallel_tool_calls" in needs)
        self._whole = bool(needs & {"trajectory", "token_ids"})
        self._extent = replace(extent, branches=extent.branches or "branches" in needs)
        self._groups = GroupReader(store) if "group" in needs else None

    def read(self, page: Sequence[Facts], known: Mapping[str, Trajectory]) -> Iterator[Read]:
        """The samples of these sessions, in this order. `known`: what of them was read whole already."""
        straight = self._straight.samples([] if self._whole else [it for it in page if it.id not in known])
        next_one = next(straight, None)
        scores = self._facts.scores([it.id for it in page])
        for facts in page:
            grade = grade_of(scores[facts.id]) if facts.id in scores else UNGRADED
            if next_one is not None and next_one.facts is facts:
                made, next_one = [next_one], next(straight, None)
            else:
                made = self._of_whole(facts, known.get(facts.id))
            group = self._groups.group(facts) if self._groups is not None and made else None
            for sample in made:
                sample.grade, sample.group = grade, group
            yield Read(facts, grade, made)

    def _of_whole(self, facts: Facts, trajectory: Trajectory | None) -> list[Sample]:
        found = samples(trajectory or self._store.trajectory(facts.id), facts, self._extent)
        return list(found) if self._whole else [replace(sample, trajectory=None) for sample in found]


def broken_rule(store: Store, facts: Facts, known: dict[str, Trajectory], waived: frozenset[str]) -> str | None:
    """The rule of health that a session breaks. One that nobody has looked at is looked at now, and then `known`."""
    findings = facts.findings
    if findings is None:
        found = known[facts.id] = store.trajectory(facts.id)
        findings = [finding.name for finding in found.health]
    return fallen_to(facts, findings, waived)


def grade_of(scores: Sequence[ScoreFacts]) -> Grade:
    """What a session's newest scores come to."""
    own = [score for score in scores if not score.feedback]
    weighted = [score for score in own if score.weight]
    values = [score.weight * score.value for score in weighted if score.value is not None]
    return Grade(
        reward=sum(values) if weighted and len(values) == len(weighted) else None,
        scores={score.name: score.value for score in own},
        feedback={score.name: score.value for score in scores if score.feedback},
        rubric=own[0].rubric_version if own else None,
    )
