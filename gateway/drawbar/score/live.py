"""Scores live sessions once they have ended, beside the gateway's work.

That a session is to be scored is written with its end, so a crash forgets none; whoever starts next on the store, or
looks while it runs, finds what is due. One gateway at a time takes a session, and keeps it by renewing its claim; the
rows of a rubric's version have ids that follow from what they are about, so the same score is never there twice,
whatever happens in between.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from msgspec import structs

from drawbar.causes import CAUSES
from drawbar.errors import StoreError
from drawbar.ids import digest
from drawbar.record.recorder import Recorder
from drawbar.record.rows import LiveScoringRow, Row, ScoreRow, SessionRow
from drawbar.record.store import Store
from drawbar.score.live_budget import Budgets
from drawbar.score.live_rule import LiveRule
from drawbar.score.scoring import score
from drawbar.trajectory import Trajectory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from drawbar.environment import Environment
    from drawbar.judging import Ask

_log = logging.getLogger(__name__)

WORKERS: Final = 8
"""Sessions that are scored at a time: most of that is waiting for judges."""
THREADS: Final = 2
"""In which plain functions run. They share the interpreter with the gateway."""
MOST_WAITING: Final = 10_000
"""Sessions that wait in memory. Further ones wait in the store."""
CLAIM: Final = 20.0
"""Seconds for which a session is ours. A gateway that dies keeps it no longer from the others."""
LOOK: Final = 5.0
"""Seconds between looks for what others have left."""
LONGEST: Final = 900.0
"""Seconds that the functions of one rubric may take for one session."""


class LiveScoring:
    """Rubrics attached to live traffic by rules."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        environments: Mapping[str, Environment],
        read: Callable[[str], Awaitable[Trajectory]],
        ask: Ask,
        rules: Sequence[LiveRule] = (),
    ) -> None:
        """`environments`: whose rubrics there are; `read` gives a session's trajectory."""
        self.rules: Sequence[LiveRule] = rules
        """May be replaced at any time."""
        self.overflowed = 0
        """Sessions that found the queue full, and waited in the store instead."""
        self.working = 0
        """Sessions that are scored now."""
        self._store = store
        self._recorder = recorder
        self._environments = environments
        self._read = read
        self._ask = ask
        self._budgets = Budgets(store)
        self._noted: dict[str, Sequence[str]] = {}
        self._queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(MOST_WAITING)
        self._queued: set[tuple[str, str]] = set()
        self._threads = anyio.CapacityLimiter(THREADS)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Sessions that wait in memory."""
        return self._queue.qsize()

    def at_end(self, session: SessionRow) -> Sequence[Row]:
        """What is to be written with a session's end."""
        rubrics = {rule.environment for rule in self.rules if rule.may_mean(session)} & self._environments.keys()
        if rubrics:
            self._noted[session.id] = sorted(rubrics)
        now = time.time()
        return [LiveScoringRow(session=session.id, rubric=rubric, created=now) for rubric in sorted(rubrics)]

    def ended(self, session: str) -> None:
        """A session's end is recorded."""
        for rubric in self._noted.pop(session, ()):
            self._add(session, rubric)

    async def heard(self, session: SessionRow) -> None:
        """People have said something of a session: rubrics that ask for `feedback`, and have looked at it, look again.

        Raises `StoreError`.
        """
        if session.status != "ended":
            return
        for row in self.at_end(session):
            if isinstance(row, LiveScoringRow) and self._asks_people(row.rubric):
                await self._recorder.commit(row)
                self._add(session.id, row.rubric)
        self._noted.pop(session.id, None)

    def _asks_people(self, rubric: str) -> bool:
        return any("feedback" in s.parameters for s in self._environments[rubric].scoring.scorers.values())

    def _add(self, session: str, rubric: str) -> None:
        if (session, rubric) in self._queued:
            return
        try:
            self._queue.put_nowait((session, rubric))
        except asyncio.QueueFull:
            self.overflowed += 1
            if self.overflowed == 1 or self.overflowed % 1000 == 0:
                _log.warning("Live scoring is behind: %d sessions wait in the store for their turn.", self.overflowed)
            return
        self._queued.add((session, rubric))

    def start(self) -> None:
        """Score what is due, from now on."""
        self._tasks = [asyncio.create_task(self._look()), *(asyncio.create_task(self._work()) for _ in range(WORKERS))]

    async def stop(self) -> None:
        """Stop at once: what is not done is done by whoever starts next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _look(self) -> None:
        while True:
            rubrics = {rule.environment for rule in self.rules} & self._environments.keys()
            room = MOST_WAITING - self._queue.qsize()
            if rubrics and room:
                try:
                    found = await anyio.to_thread.run_sync(self._store.due, rubrics, time.time(), room)
                    for row in found:
                        self._add(row.session, row.rubric)
                except StoreError as error:
                    _log.warning("Live scoring could not look for what is due: %s", error)
            await asyncio.sleep(LOOK)

    async def _work(self) -> None:
        while True:
            session, rubric = await self._queue.get()
            self.working += 1
            try:
                await self._look_at(session, rubric)
            except StoreError as error:  # it is still due
                _log.warning("Session %s could not be scored with %s: %s", session, rubric, error)
            finally:
                self.working -= 1
                self._queued.discard((session, rubric))

    async def _look_at(self, session: str, rubric: str) -> None:
        environment, now = self._environments.get(rubric), time.time()
        if environment is None:  # no longer here; others may have it
            return
        if not await anyio.to_thread.run_sync(self._store.take, session, rubric, now, now + CLAIM):
            return
        claim = LiveScoringRow(session=session, rubric=rubric, created=now)
        async with self._claimed(claim):
            try:
                with anyio.fail_after(LONGEST):
                    rows, reason = await self._scored(session, environment)
            except TimeoutError:
                rows, reason = [], f"its functions took longer than {LONGEST:g} s"
            except StoreError:
                raise
            except Exception as error:
                _log.exception("Session %s could not be scored with %s.", session, rubric)
                rows, reason = [], f"{type(error).__name__}: {error}"
        done = structs.replace(claim, state="passed" if reason else "done", reason=reason)
        await self._recorder.commit(*rows, done)

    @asynccontextmanager
    async def _claimed(self, claim: LiveScoringRow) -> AsyncIterator[None]:
        """Keep others from a session meanwhile; give it back if we are stopped."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(CLAIM / 3)
                await self._recorder.post(structs.replace(claim, taken=time.time() + CLAIM))

        renewing = asyncio.create_task(renew())
        try:
            yield
        except BaseException:
            await _over(renewing)
            with anyio.CancelScope(shield=True):
                await self._recorder.post(claim)
            raise
        await _over(renewing)

    async def _scored(self, session: str, environment: Environment) -> tuple[list[ScoreRow], str | None]:
        """The rows, or why there are none."""
        trajectory = await self._read(session)
        rule = next((r for r in self.rules if r.environment == environment.name and r.means(trajectory)), None)
        if rule is None:
            return [], "no rule means it"
        if not trajectory.turns:
            return [], "no model call was answered"
        cause = CAUSES.get(trajectory.stop or "")
        if cause is not None and not cause.score:
            return [], f"it ended because {cause.meaning}"
        rows = await score(
            environment.scoring, trajectory, judge=environment.judge, ask=self._ask, source="live",
            skip=await self._skipped(rule, environment), threads=self._threads,
        )  # fmt: skip
        rows += _groups(environment, session)
        said = _last_said(trajectory) if self._asks_people(rule.environment) else ""
        rows = [structs.replace(row, id=_id(row, said)) for row in rows]
        self._budgets.spend(rule.environment, rows)
        return rows, None

    async def _skipped(self, rule: LiveRule, environment: Environment) -> dict[str, str]:
        asking = [scorer.name for scorer in environment.scoring.scorers.values() if "judge" in scorer.parameters]
        if not asking:
            return {}
        rubrics = {rule.environment for rule in self.rules} & self._environments.keys() - {rule.environment}
        others = {self._environments[rubric].rubric_version for rubric in rubrics} - {environment.rubric_version}
        refusal = await self._budgets.refusal(rule, others)
        return {} if refusal is None else dict.fromkeys(asking, refusal)


async def _over(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _groups(environment: Environment, session: str) -> list[ScoreRow]:
    """A session of live traffic has no others to be compared with."""
    return [
        ScoreRow(
            id="", session=session, name=scorer.name, kind=scorer.kind, value=None, weight=0.0,
            rubric_version=environment.rubric_version, source="live", created=time.time(),
            error="skipped: a group reward compares the rollouts of one task",
        )
        for scorer in environment.scoring.scorers.values()
        if scorer.kind == "group"
    ]  # fmt: skip


def _last_said(trajectory: Trajectory) -> str:
    """Changes with every feedback."""
    return str(max((score.created for score in trajectory.scores if score.kind == "feedback"), default=""))


def _id(row: ScoreRow, said: str) -> str:
    """One and the same for what is scored twice; `said`: what stands for the feedback that it saw."""
    about = (row.session, row.rubric_version, row.name, said)
    return "sco_" + digest(*(f"{part}\0".encode() for part in about)).hex()[:22]
