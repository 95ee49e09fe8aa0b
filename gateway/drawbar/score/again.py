"""Scores sessions that are in the store with a new or changed rubric: adds rows, and changes none.

What a session has of a rubric's version already is not done again, so a second start does only what is missing. Scores
that failed (a judge was down) are missing; those that were skipped are not.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from drawbar.causes import CAUSES
from drawbar.ids import new_id
from drawbar.judging import Ask
from drawbar.record.filter import Filter, equal
from drawbar.record.redaction import Redact, all_redacted
from drawbar.record.rows import ScoreRow, SessionRow
from drawbar.record.store import Store
from drawbar.rollout.result import cause_of, with_scores
from drawbar.rubric import Rubric
from drawbar.score.again_budget import Asking, JudgeBudget
from drawbar.score.again_changes import Changes
from drawbar.score.again_rubric import NamedRubric, asks_a_judge
from drawbar.score.scoring import score, score_group
from drawbar.task import Task
from drawbar.trajectory import Trajectory

READERS: Final = 2
"""Threads that read trajectories; they share the interpreter with the scorers."""
_PAGE: Final = 100
SKIPPED: Final = "skipped:"
"""How the error of a score begins whose function asks for what the session does not have."""


@dataclass(frozen=True, slots=True)
class Due:
    """A session and what it lacks of the rubric."""

    session: SessionRow
    missing: frozenset[str]
    """Names of scorers."""
    known: tuple[ScoreRow, ...]
    """Every score that it has."""


@dataclass
class Tally:
    """What was found and done."""

    meant: int = 0
    """Sessions that the filter means."""
    passed: Counter[str] = field(default_factory=Counter)
    """Sessions that there is nothing to score in, by the reason."""
    kept: int = 0
    """Sessions that had every score before."""
    scored: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Scores that were not asked for, by their name."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Of each of these names, one reason."""
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    left: int = 0
    """Sessions that are still to be scored: the judges' budget is spent."""


@dataclass(frozen=True)
class Planned:
    """What would be done."""

    tally: Tally
    due: int
    """Sessions. One that has every score, but newer ones of another version, is among them: its scores are said once
    more, and nothing is asked."""
    judge_calls: int
    """At least: a judge may be asked more than once."""


class Again:
    """One rubric over the sessions that a filter means."""

    def __init__(
        self,
        store: Store,
        rubric: NamedRubric,
        filter: Filter,
        *,
        ask: Ask | None = None,
        budget: JudgeBudget | None = None,
        at_a_time: int = 8,
        redact: Redact | None = None,
    ) -> None:
        """`redact` sees what scorers explain before it is persisted, and gives back what may be kept."""
        self._redact = redact
        self._store = store
        self._named = rubric
        self._filter = filter
        self._ask = ask
        self._at_a_time = at_a_time
        self._readers = anyio.CapacityLimiter(READERS)
        self._threads = anyio.CapacityLimiter(at_a_time)
        """Where plain functions run: one that waits for something does not hold up the others."""
        scorers = rubric.rubric.scorers.values()
        self._names = frozenset(scorer.name for scorer in scorers)
        self._group_names = frozenset(scorer.name for scorer in scorers if scorer.kind == "group")
        self._asking_people = frozenset(scorer.name for scorer in scorers if "feedback" in scorer.parameters)
        self.budget = budget or JudgeBudget()
        self.version = rubric.version
        self.tally = Tally()
        self.changes = Changes(self.version)

    def plan(self) -> Planned:
        """Go over the sessions and score none."""
        tally, due, calls = Tally(), 0, 0
        for each in self._due(tally):
            due += 1
            for name in each.missing:
                reason = self._would_skip(name, each.session)
                if reason is not None:
                    tally.skipped[name] += 1
                    tally.reasons.setdefault(name, reason)
                else:
                    calls += asks_a_judge(self._named.rubric.scorers[name]) and name not in self._group_names
        return Planned(tally, due, calls)

    async def run(self, listen: Callable[[Tally], None] = lambda tally: None) -> None:
        """Score what is missing. `tally` and `changes` then say what was done; `listen` is told as it goes.

        Raises:
            StoreError: the store cannot be read or written. What was scored is stored.
        """
        jobs, lock = self._jobs(), anyio.Lock()

        async def work() -> None:
            while True:
                async with lock:
                    job = await anyio.to_thread.run_sync(next, jobs, None)
                if job is None:
                    return
                await self._do(job)
                listen(self.tally)

        try:
            async with anyio.create_task_group() as group:
                for _ in range(self._at_a_time):
                    group.start_soon(work)
        except ExceptionGroup as errors:  # one of those that work side by side failed, or several for the same reason
            raise errors.exceptions[0] from None

    def _due(self, tally: Tally, changes: Changes | None = None, filter: Filter | None = None) -> Iterator[Due]:
        """The sessions that are to be scored; the others are entered in the tally."""
        page: list[SessionRow] = []
        for row in self._store.select(filter or self._filter):
            tally.meant += 1
            reason = _passed_over(row)
            if reason is not None:
                tally.passed[reason] += 1
                continue
            page.append(row)
            if len(page) == _PAGE:
                yield from self._missing(page, tally, changes)
                page = []
        yield from self._missing(page, tally, changes)

    def _missing(self, page: Sequence[SessionRow], tally: Tally, changes: Changes | None) -> Iterator[Due]:
        known = self._store.scores([row.id for row in page])
        for row in page:
            rows = known.get(row.id, [])
            missing = self._names - self._had(rows)
            if missing or not self._is_newest(rows):
                yield Due(row, missing, tuple(rows))
            else:
                tally.kept += 1
                if changes is not None:
                    changes.add(row.id, rows)

    def _had(self, rows: Sequence[ScoreRow]) -> set[str]:
        """The functions that need not look at a session again. Those that ask for feedback must, if there is more."""
        said = max((row.created for row in rows if row.kind == "feedback"), default=0.0)
        return {
            row.name
            for row in rows
            if row.rubric_version == self.version
            and _is_settled(row)
            and (row.name not in self._asking_people or row.created >= said)
        }

    def _is_newest(self, rows: Sequence[ScoreRow]) -> bool:
        """Whether this version is the one that reports go by."""
        own = [row for row in rows if row.kind != "feedback"]
        return not own or own[-1].rubric_version == self.version

    def _jobs(self) -> Iterator[Sequence[Due]]:
        """What is scored together: one session, or all rollouts of a task where group rewards will see them."""
        begun: set[tuple[str | None, str | None]] = set()
        for due in self._due(self.tally, self.changes):
            group = (due.session.run, due.session.task_hash)
            if not due.missing & self._group_names or None in group:
                yield [due]
            elif group not in begun:
                begun.add(group)
                yield list(self._due(Tally(), None, self._filter & _rollouts(due.session)))

    async def _do(self, job: Sequence[Due]) -> None:
        if self.budget.is_spent:
            self.tally.left += len(job)
            return
        asking = Asking(self._ask, self.budget) if self._ask is not None else None
        scored: list[tuple[Due, Trajectory, list[ScoreRow]]] = []
        for due in job:
            if not due.missing:
                await self._keep([(due, self._restated(due))])
                continue
            trajectory = await self._read(due.session.id)
            cause = cause_of(trajectory)
            if not CAUSES[cause].score:
                self.tally.passed[f"ended by {cause}"] += 1
                continue
            rubric = self._only(due.missing - self._group_names)
            rows = await score(
                rubric, trajectory, judge=self._named.judge, ask=asking, source="rescore", threads=self._threads
            )
            scored.append((due, trajectory, rows))
        if any(due.missing & self._group_names for due, _, _ in scored):
            await self._score_groups(scored, asking)
        if asking is not None and asking.refused:
            self.tally.left += len(scored)
            return
        await self._keep([(due, rows) for due, _, rows in scored])

    def _restated(self, due: Due) -> list[ScoreRow]:
        """What the session has of this version, once more: another version came later, and this one is wanted now."""
        last = {row.name: row for row in due.known if row.rubric_version == self.version}
        return [msgspec.structs.replace(row, id=new_id("sco"), source="rescore", usage=None) for row in last.values()]

    async def _score_groups(self, scored: list[tuple[Due, Trajectory, list[ScoreRow]]], asking: Asking | None) -> None:
        """Group rewards see all rollouts of the task that count, those too that the filter does not mean."""
        session = scored[0][0].session
        if session.run is None or session.task_hash is None:
            for due, _, rows in scored:
                rows += self._skipped_groups(due, _NO_GROUP)
            return
        mine = {trajectory.id: with_scores(trajectory, rows) for _, trajectory, rows in scored}
        others = await anyio.to_thread.run_sync(self._others, session, frozenset(mine))
        last: dict[int, Trajectory] = {}
        for trajectory in sorted((*others, *mine.values()), key=lambda each: each.attempt):
            last[trajectory.rollout] = trajectory
        counted = [last[rollout] for rollout in sorted(last) if CAUSES[cause_of(last[rollout])].count]
        rubric = self._only(self._group_names)
        found = await score_group(rubric, counted, judge=self._named.judge, ask=asking, source="rescore")
        for due, trajectory, rows in scored:
            given = [row for row in found if row.session == trajectory.id and row.name in due.missing]
            rows += given or self._skipped_groups(due, _NO_COUNT)

    def _others(self, session: SessionRow, mine: frozenset[str]) -> list[Trajectory]:
        rows = self._store.select(_rollouts(session))
        return [self._store.trajectory(row.id) for row in rows if row.id not in mine]

    def _skipped_groups(self, due: Due, why: str) -> list[ScoreRow]:
        names = due.missing & self._group_names
        return [
            ScoreRow(
                id=new_id("sco"), session=due.session.id, name=name, kind="group", value=None, weight=0.0,
                rubric_version=self.version, source="rescore", error=why, created=0.0,
            )
            for name in sorted(names)
        ]  # fmt: skip

    async def _keep(self, scored: Sequence[tuple[Due, list[ScoreRow]]]) -> None:
        now = time.time()
        given = [
            msgspec.structs.replace(row, rubric_version=self.version, created=now) for _, rows in scored for row in rows
        ]
        stored: dict[str, list[ScoreRow]] = defaultdict(list)
        for row in await anyio.to_thread.run_sync(self._write, given):
            stored[row.session].append(row)
        for due, _ in scored:
            rows = stored[due.session.id]
            self.tally.scored += 1
            self.changes.add(due.session.id, (*due.known, *rows))
            self._count(rows)

    def _write(self, rows: Sequence[ScoreRow]) -> Sequence[ScoreRow]:
        """Write the rows, and give them back as they are kept."""
        kept = all_redacted(rows, self._redact)
        self._store.write(kept)
        return kept

    def _count(self, rows: Iterable[ScoreRow]) -> None:
        for row in rows:
            if row.error is None:
                continue
            skipped = row.error.startswith(SKIPPED)
            (self.tally.skipped if skipped else self.tally.failed)[row.name] += 1
            (self.tally.reasons if skipped else self.tally.examples).setdefault(row.name, row.error)

    def _only(self, names: Iterable[str]) -> Rubric:
        """The rubric with these of its scorers."""
        wanted = set(names)
        return Rubric(*(scorer for name, scorer in self._named.rubric.scorers.items() if name in wanted))

    async def _read(self, session: str) -> Trajectory:
        return await anyio.to_thread.run_sync(self._store.trajectory, session, limiter=self._readers)

    def _would_skip(self, name: str, session: SessionRow) -> str | None:
        """Why a function would not be asked about this session, as far as that is known without reading it."""
        needed = [each for each, is_needed in self._named.rubric.scorers[name].parameters.items() if is_needed]
        if name in self._group_names and (session.run is None or session.task_hash is None):
            return _NO_GROUP
        task = Task.recorded(session.task)
        lacking: Mapping[str, bool] = {
            "task": task is None,
            "info": task is None,
            "question": task is None,
            "answer": task is None or task.answer is None,
        }
        missing = next((each for each in needed if lacking.get(each)), None)
        return None if missing is None else f"{SKIPPED} it asks for `{missing}`, and the session has none"


_NO_GROUP: Final = f"{SKIPPED} a group reward compares the rollouts of one task"
_NO_COUNT: Final = f"{SKIPPED} a rollout that does not count is in no group"
_FOR_GOOD: Final = (f"{SKIPPED} it asks for ", _NO_GROUP, _NO_COUNT)
"""How the errors begin of functions that will never be asked about a session."""


def _passed_over(row: SessionRow) -> str | None:
    """Why there is nothing to score in a session."""
    if row.status != "ended":
        return "still open"
    cause = CAUSES.get(row.stop or "")
    return f"ended by {row.stop}" if cause is None or not cause.score else None


def _is_settled(row: ScoreRow) -> bool:
    """Whether scoring it again would give nothing else."""
    return row.value is not None or row.error is None or row.error.startswith(_FOR_GOOD)


def _rollouts(session: SessionRow) -> Filter:
    """All rollouts of a session's task in its run."""
    return equal("run", session.run) & equal("task_hash", session.task_hash)
