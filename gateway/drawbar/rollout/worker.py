"""What one rollout is: open a session, let the harness work, end the session, read what was recorded, score it."""

from __future__ import annotations

import random

import anyio
from anyio import get_cancelled_exc_class

from drawbar.causes import CAUSES
from drawbar.errors import StoreError, ToolServerError
from drawbar.harness import Assignment, Outcome
from drawbar.record.rows import ScoreRow
from drawbar.rollout.access import GatewayAccess, OpenSession
from drawbar.rollout.events import Listener, RolloutFinished, RolloutRetried, RolloutStarted
from drawbar.rollout.jobs import Group, Job
from drawbar.rollout.plan import Plan
from drawbar.rollout.report import Tally
from drawbar.rollout.result import RolloutResult, cause_of, with_scores
from drawbar.score import score, score_group
from drawbar.sessions import SessionSpec
from drawbar.trajectory import Trajectory

LATE_SECONDS = 10.0
"""A harness keeps the limit of wall time itself; one that does not is cancelled so much later."""
LONGEST_PAUSE = 30.0


class Worker:
    """Does jobs for one run. It keeps no state of its own, so any number of jobs can be under way."""

    def __init__(self, plan: Plan, access: GatewayAccess, tally: Tally, listen: Listener) -> None:
        self._plan = plan
        self._access = access
        self._tally = tally
        self._listen = listen
        self._rubric = plan.environment.scoring

    def keep(self, result: RolloutResult) -> None:
        """Enter a rollout that was finished before the run was resumed."""
        self._finish(result, kept=True)

    async def do(self, job: Job) -> None:
        """One rollout from beginning to end."""
        if job.session is not None:
            trajectory = await self._access.trajectory(job.session)
        else:
            trajectory = await self._roll_out(job)
        if CAUSES[cause_of(trajectory)].score:
            rows = await score(self._rubric, trajectory, judge=self._plan.environment.judge, ask=self._access.ask)
            trajectory = await self._scored(trajectory, rows)
        job.group.missing -= 1
        if not self._plan.has_group_rewards:
            self._finish(RolloutResult.of(trajectory))
        else:
            job.group.trajectories.append(trajectory)
            if not job.group.missing:
                await self._finish_group(job.group)

    async def _roll_out(self, job: Job) -> Trajectory:
        """Attempts until one ends for a cause that another attempt would not change."""
        for retry in range(self._plan.retries + 1):
            trajectory = await self._attempt(job, job.first_attempt + retry)
            cause = CAUSES[cause_of(trajectory)]
            if cause.name == "recorder_failed":
                raise StoreError(trajectory.error or "The store could not be written.")
            if not cause.retry or retry == self._plan.retries:
                break
            pause = min(self._plan.backoff * 2**retry, LONGEST_PAUSE) * random.uniform(0.5, 1.5)
            self._listen(RolloutRetried(job.task.key, job.rollout, cause.name, trajectory.error, pause))
            await anyio.sleep(pause)
        return trajectory

    async def _attempt(self, job: Job, attempt: int) -> Trajectory:
        self._listen(RolloutStarted(job.task.key, job.rollout, attempt))
        spec = self._spec(job, attempt)
        try:
            session = await self._access.open(spec)
        except ToolServerError as error:
            return Trajectory(
                id="", task=job.task, rollout=job.rollout, attempt=attempt, stop="tool_server_failed", error=str(error)
            )
        outcome = Outcome("cancelled")
        try:
            outcome = await self._harness_at(self._assignment(spec, session))
        finally:
            with anyio.CancelScope(shield=True):
                metadata = {"output": dict(outcome.output)} if outcome.output else {}
                await self._access.end(session.id, stop=outcome.stop, error=outcome.error, metadata=metadata)
        return await self._access.trajectory(session.id)

    async def _harness_at(self, assignment: Assignment) -> Outcome:
        """The harness's outcome, whatever it does."""
        seconds = assignment.limits.seconds
        with anyio.move_on_after(None if seconds is None else seconds + LATE_SECONDS):
            try:
                outcome = await self._plan.harness.run(assignment)
            except get_cancelled_exc_class():
                raise
            except Exception as error:
                return Outcome("harness_failed", f"{type(error).__name__}: {error}")
            if getattr(outcome, "stop", None) not in CAUSES:
                return Outcome(
                    "harness_failed", f"The harness returned {outcome!r}, not an Outcome with a known cause."
                )
            return outcome
        return Outcome("limit_time", f"The harness went on after the {seconds:g} s of the rollout and was cancelled.")

    def _spec(self, job: Job, attempt: int) -> SessionSpec:
        plan = self._plan
        return SessionSpec(
            environment=plan.environment.name,
            task=job.task,
            run=plan.run,
            rollout=job.rollout,
            attempt=attempt,
            harness=plan.harness.name,
            model=plan.model,
            sampling={**plan.environment.sampling, **plan.sampling},
            seed=None if plan.seed is None else plan.seed + job.rollout,
            limits=plan.limits_of(job.task),
            token_ids=plan.token_ids,
            withhold=plan.withhold,
            user_model=plan.user_model,
        )

    def _assignment(self, spec: SessionSpec, session: OpenSession) -> Assignment:
        assert spec.task is not None
        assert spec.model is not None
        return Assignment(
            session=session.id,
            key=session.key,
            base_url=session.base_url,
            mcp_url=session.mcp_url,
            user_url=session.user_url if self._plan.user_of(spec.task) is not None else None,
            model=spec.model,
            messages=spec.task.messages,
            task=spec.task,
            limits=spec.limits,
            sampling=spec.sampling,
            seed=spec.seed,
        )

    async def _finish_group(self, group: Group) -> None:
        """All rollouts of a task are in: give those that count their group rewards, and enter all of them."""
        kept = [await self._access.trajectory(session) for session in group.sessions]
        known = {trajectory.id for trajectory in kept}
        everyone = sorted((*kept, *group.trajectories), key=lambda trajectory: trajectory.rollout)
        counted = [trajectory for trajectory in everyone if CAUSES[cause_of(trajectory)].count]
        rows = await score_group(self._rubric, counted, judge=self._plan.environment.judge, ask=self._access.ask)
        if rows:
            await self._access.record(*rows)
        for trajectory in everyone:
            scored = with_scores(trajectory, [row for row in rows if row.session == trajectory.id])
            self._finish(RolloutResult.of(scored), kept=trajectory.id in known)

    async def _scored(self, trajectory: Trajectory, rows: list[ScoreRow]) -> Trajectory:
        if rows:
            await self._access.record(*rows)
        return with_scores(trajectory, rows)

    def _finish(self, result: RolloutResult, *, kept: bool = False) -> None:
        self._tally.add(result, kept=kept)
        self._listen(RolloutFinished(result, kept))
