"""A review under way: which candidate is looked at, and what was decided about each. Knows no terminal.

A decision is about a session, so that it holds when the same is captured again, with others added or a sample drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import orjson

from drawbar.capture.candidate import Candidate, words
from drawbar.capture.review_edit import edited_fields, with_fields
from drawbar.capture.review_journal import Decision, Journal, Verdict


class Review:
    """Candidates and a journal of decisions about them, also those of an earlier sitting."""

    def __init__(self, candidates: Sequence[Candidate], journal: Journal) -> None:
        """Raises `ValueError`: there are no candidates."""
        if not candidates:
            raise ValueError("There is nothing to review.")
        self._candidates = candidates
        self._journal = journal
        self._places = {each.session: at for at, each in enumerate(candidates)}
        self._sought = ""
        self.at = 0
        """Which candidate is looked at, from 0."""
        self._to_undecided()

    def __len__(self) -> int:
        return len(self._candidates)

    @property
    def current(self) -> Candidate:
        """The candidate that is looked at, as it was edited."""
        return self._edited(self._candidates[self.at])

    @property
    def decision(self) -> Decision | None:
        """What was decided about it."""
        return self._journal.decisions.get(self._candidates[self.at].session)

    @property
    def counts(self) -> Counter[str]:
        """How many are `keep`, `drop`, `edited` (and kept) and `open`."""
        decisions = self._journal.decisions
        counts: Counter[str] = Counter()
        for each in self._candidates:
            decision = decisions.get(each.session)
            counts["open" if decision is None else decision.verdict] += 1
            counts["edited"] += decision is not None and decision.verdict == "keep" and decision.task is not None
        return counts

    def decide(self, verdict: Verdict) -> None:
        """Keep or drop the current one, and go on to the next that is open. What was edited stays edited."""
        before = self.decision
        self._journal.add(Decision(self.current.session, verdict, None if before is None else before.task))
        self._to_undecided()

    def edit(self, edited: Candidate) -> None:
        """Keep the current one as it was edited, and stay, to look at it."""
        fields = orjson.loads(orjson.dumps(edited_fields(edited)))
        self._journal.add(Decision(edited.session, "keep", fields))

    def undo(self) -> bool:
        """Take back the last decision about any of these, and look at that one. False: there is none."""
        undone = self._journal.undo(self._places)
        if undone is None:
            return False
        self.at = self._places[undone.session]
        return True

    def move(self, steps: int) -> None:
        """Look at another one, whatever was decided about it; from the last the way leads to the first."""
        self.at = (self.at + steps) % len(self._candidates)

    def search(self, text: str = "") -> bool:
        """Go on to the next that has this (or what was last sought) somewhere in its texts; False: none has."""
        self._sought = (text or self._sought).casefold()
        for steps in range(1, len(self._candidates) + 1):
            at = (self.at + steps) % len(self._candidates)
            if self._sought and any(self._sought in said.casefold() for said in _texts(self._candidates[at])):
                self.at = at
                return True
        return False

    def result(self) -> list[Candidate]:
        """What is left: all but those that were dropped, as they were edited."""
        decisions = self._journal.decisions
        dropped = {session for session, decision in decisions.items() if decision.verdict == "drop"}
        return [self._edited(each) for each in self._candidates if each.session not in dropped]

    def _edited(self, candidate: Candidate) -> Candidate:
        decision = self._journal.decisions.get(candidate.session)
        return candidate if decision is None or decision.task is None else with_fields(candidate, decision.task)

    def _to_undecided(self) -> None:
        decisions = self._journal.decisions
        for steps in range(len(self._candidates)):
            at = (self.at + steps) % len(self._candidates)
            if self._candidates[at].session not in decisions:
                self.at = at
                return


def _texts(candidate: Candidate) -> Iterator[str]:
    yield from (candidate.session, candidate.key, candidate.system or "", candidate.recorded, *candidate.tags)
    yield from map(words, (*candidate.opening, *candidate.user_turns))
    yield from (str(value) for value in (candidate.user, candidate.answer, *candidate.feedback.values()) if value)
    yield from candidate.tools
