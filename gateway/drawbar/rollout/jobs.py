"""What is to be done in a run: each rollout of each task that is not finished yet, made when a worker asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from drawbar.causes import CAUSES
from drawbar.rollout.plan import Plan
from drawbar.rollout.result import RolloutResult
from drawbar.task import Task
from drawbar.trajectory import Trajectory


@dataclass(eq=False, slots=True)
class Group:
    """The rollouts of one task, until all are in."""

    task: Task
    missing: int
    """Rollouts that are not in yet."""
    sessions: list[str] = field(default_factory=list)
    """Of those finished before the run was resumed."""
    trajectories: list[Trajectory] = field(default_factory=list)
    """Of those that are in and count; kept only where group rewards will ask for them."""


@dataclass(frozen=True, slots=True)
class Job:
    """One rollout."""

    group: Group
    rollout: int
    first_attempt: int = 0
    session: str | None = None
    """Of a rollout that ended but was not scored: nothing but its scores is missing."""

    @property
    def task(self) -> Task:
        return self.group.task


class Jobs:
    """An iterator that any number of workers share. `keep` is told of each rollout that was finished before."""

    def __init__(
        self, plan: Plan, tasks: Iterable[Task], history: Iterable[RolloutResult], keep: Callable[[RolloutResult], None]
    ) -> None:
        self._plan = plan
        self._keep = keep
        self._before: dict[tuple[str, int], RolloutResult] = {}
        for result in history:
            known = self._before.get(result.key)
            if known is None or result.attempt > known.attempt:
                self._before[result.key] = result
        self._jobs = self._make(tasks)

    def __iter__(self) -> Iterator[Job]:
        return self._jobs

    def _make(self, tasks: Iterable[Task]) -> Iterator[Job]:
        for task in tasks:
            yield from self._of(Group(task, self._plan.rollouts))

    def _of(self, group: Group) -> Iterator[Job]:
        jobs, kept = [], []
        for rollout in range(self._plan.rollouts):
            before = self._before.get((group.task.hash, rollout))
            if before is not None and self._is_finished(before):
                kept.append(before)
            else:
                jobs.append(_job(group, rollout, before))
        group.missing = len(jobs)
        if jobs and self._plan.has_group_rewards:  # they are entered with the group, whose scores will change
            group.sessions = [before.session for before in kept]
        else:
            for before in kept:
                self._keep(before)
        return iter(jobs)

    def _is_finished(self, before: RolloutResult) -> bool:
        """Whether it counts and has every score that it should have."""
        return before.valid and all(name in before.scores for name in self._plan.environment.scoring.scorers)


def _job(group: Group, rollout: int, before: RolloutResult | None) -> Job:
    if before is None:
        return Job(group, rollout)
    if CAUSES[before.cause].score:
        return Job(group, rollout, before.attempt, before.session)
    return Job(group, rollout, before.attempt + 1)
