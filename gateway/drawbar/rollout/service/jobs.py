"""Jobs of rollouts: each is played once by the engine, whoever listens; its run in the store is all that is kept of it.

A gateway that was killed leaves a run without an end: the job is `interrupted`, and whoever asks for it again by its id
has it go on, with what was finished.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import msgspec
import orjson

from drawbar.errors import ConfigurationError, StoreError, UnknownName
from drawbar.proxy.models import Models
from drawbar.record.rows import RunRow
from drawbar.rollout.access import LocalAccess, OpenSession
from drawbar.rollout.engine import run
from drawbar.rollout.events import Event, RolloutFinished
from drawbar.rollout.harnesses import load_harness
from drawbar.rollout.plan import Plan
from drawbar.rollout.result import RolloutResult, last_attempts
from drawbar.rollout.service.asked import Asked, run_of, same, tasks_of
from drawbar.rollout.service.steering import Endpoint, Steering
from drawbar.sessions import SessionSpec

if TYPE_CHECKING:
    from drawbar.gateway import Gateway

_log = logging.getLogger(__name__)

MOST_AT_A_TIME: Final = 512
"""Rollouts of all jobs that go on at a time."""
MOST_WAITING: Final = 16_384
"""Rollouts of all jobs that have not ended, beyond which no job is taken."""


class Full(RuntimeError):
    """As many rollouts wait as may."""


class Conflict(ValueError):
    """The id is another job's."""


@dataclass(eq=False)
class Job:
    """One that is under way here."""

    plan: Plan
    asked: Asked
    models: Models | None
    total: int
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    groups: dict[str, list[RolloutResult]] = field(default_factory=lambda: defaultdict(list))
    """What has ended, by task."""
    whole: list[str] = field(default_factory=list)
    """Tasks of which all rollouts have ended."""
    cancelled: bool = False
    error: str | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, event: Event) -> None:
        """Told by the engine."""
        if isinstance(event, RolloutFinished):
            task = event.result.task_key
            self.groups[task].append(event.result)
            if len(self.groups[task]) == self.plan.rollouts:
                self.whole.append(task)
                self.tell()

    def tell(self) -> None:
        """Wake whoever waits for news."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, seconds: float) -> None:
        """Wait until a task is whole, or the job has ended; at most so long."""
        with anyio.move_on_after(seconds):
            await self._news.wait()

    @property
    def results(self) -> list[RolloutResult]:
        """Of the tasks that are whole: advantages need all rollouts of one."""
        return [result for task in self.whole for result in self.groups[task]]

    @property
    def left(self) -> int:
        """Rollouts that have not ended."""
        return self.total - sum(map(len, self.groups.values()))


@dataclass(frozen=True, slots=True)
class State:
    """A job as it stands."""

    run: str
    asked: Mapping[str, Any]
    status: str
    """running | finished | interrupted (asked again by its id, it goes on) | cancelled | failed"""
    total: int
    results: Sequence[RolloutResult]
    error: str | None = None


class Rollouts:
    """The jobs of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.steering = Steering(MOST_AT_A_TIME)
        self._gateway = gateway
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()

    @property
    def under_way(self) -> list[str]:
        """The runs of the jobs that are."""
        return list(self._jobs)

    def job(self, run: str) -> Job | None:
        """One that is under way here."""
        return self._jobs.get(run)

    async def ask(self, asked: Asked, url: str) -> str:
        """Begin a job, or go on with it, unless it has been asked for before; its run. `url`: where agents reach this
        gateway.

        Raises:
            Conflict, Full, ConfigurationError, UnknownName, UpstreamError, StoreError
        """
        run_id = asked.run
        async with self._lock:
            job, row = self._jobs.get(run_id), await anyio.to_thread.run_sync(self._gateway.store.run, run_id)
            kept = job.asked.to_keep() if job is not None else _kept(row)
            if kept is not None and not same(kept, asked):
                raise Conflict(f"The id {asked.id!r} is that of a job that asked for something else: take another id.")
            if job is not None or (row is not None and (row.status == "finished" or _was_cancelled(row))):
                return run_id
            self._begin(await self._made(asked, run_id), url, again=row is not None)
        return run_id

    async def state(self, id: str) -> State:
        """How a job stands. Raises `UnknownName`, `StoreError`."""
        run_id = run_of(id)
        job = self._jobs.get(run_id)
        if job is not None:
            return State(run_id, job.asked.to_keep(), "running", job.total, job.results)
        row = await anyio.to_thread.run_sync(self._gateway.store.run, run_id)
        kept = _kept(row)
        if row is None or kept is None:
            raise UnknownName("job of rollouts", id, [])
        results = await anyio.to_thread.run_sync(partial(_results, self._gateway, run_id))
        status = "cancelled" if _was_cancelled(row) else "interrupted" if row.status == "running" else row.status
        total = int(kept["count"]) * (len(kept["tasks"] or ()) + (kept["task"] is not None))
        return State(run_id, kept, status, total, results, _error(row))

    async def cancel(self, id: str) -> None:
        """End a job that is under way; its rollouts that have ended stay. Raises `UnknownName`."""
        job = self._jobs.get(run_of(id))
        if job is None:
            await self.state(id)
            return
        job.cancelled = True
        job.scope.cancel()
        await job.ended.wait()

    async def stop(self) -> None:
        """Interrupt all jobs: the gateway ends."""
        for job in list(self._jobs.values()):
            job.scope.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _made(self, asked: Asked, run_id: str) -> Job:
        gateway = self._gateway
        waiting = sum(job.left for job in self._jobs.values())
        total = len(asked.wanted) * asked.count
        if waiting + total > MOST_WAITING:
            raise Full(f"{waiting:,} rollouts wait here already; ask again once some of them have ended.")
        environment = self._environment(asked.environment)
        tasks = await anyio.to_thread.run_sync(tasks_of, asked.wanted, environment)
        models = None
        if asked.endpoint is not None:
            where = asked.endpoint
            models = Models(base_url=where.base_url, api_key=where.api_key, tokens=where.tokens)
        elif asked.model not in environment.models:
            gateway.models.check(asked.model)
        plan = Plan(
            environment=replace(environment, tasks=tasks),
            harness=load_harness(asked.harness, asked.harness_options),
            model=asked.model,
            rollouts=asked.count,
            concurrency=asked.concurrency,
            retries=asked.retries,
            seed=asked.seed,
            limits=asked.bounds,
            sampling=asked.sampling,
            token_ids=True,
            run=run_id,
            request={"rollouts": asked.to_keep()},
        )
        plan.selected()
        return Job(plan, asked, models, total)

    def _environment(self, name: str | None) -> Any:
        known = self._gateway.environments
        if name is None and len(known) == 1:
            return next(iter(known.values()))
        if name is None:
            raise ConfigurationError(f"Say which `environment`: {', '.join(sorted(known)) or 'none is served here'}.")
        if name not in known:
            raise UnknownName("environment", name, known, "`drawbar serve ENVIRONMENT` serves it.")
        return known[name]

    def _begin(self, job: Job, url: str, *, again: bool) -> None:
        self._jobs[job.plan.run] = job
        task = asyncio.create_task(self._play(job, url, again))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _play(self, job: Job, url: str, again: bool) -> None:
        run_id = job.plan.run
        access = _Access(self._gateway, url, Endpoint(job.models, self.steering, job.asked.policy_version))
        try:
            history = await access.results(run_id) if again else ()
            await run(job.plan, access, listen=job.hear, stop=job.scope, history=history)
        except Exception as error:
            _log.exception("A job of rollouts failed.")
            job.error = f"{type(error).__name__}: {error}"
        finally:
            with anyio.CancelScope(shield=True):
                if job.cancelled or job.error is not None:
                    with suppress(StoreError):
                        await self._mark(run_id, {"cancelled": job.cancelled, "error": job.error})
                if job.models is not None:
                    await job.models.aclose()
            del self._jobs[run_id]
            job.ended.set()
            job.tell()

    async def _mark(self, run_id: str, marks: Mapping[str, Any]) -> None:
        row = await anyio.to_thread.run_sync(self._gateway.store.run, run_id)
        if row is not None:
            config = orjson.dumps({**orjson.loads(row.config), **marks})
            await self._gateway.record(msgspec.structs.replace(row, config=config))


class _Access(LocalAccess):
    """This gateway, for the rollouts of one job: they begin when they may, and ask its endpoint."""

    def __init__(self, gateway: Gateway, url: str, endpoint: Endpoint) -> None:
        super().__init__(gateway, url)
        self._endpoint = endpoint
        self._begun: set[str] = set()

    async def open(self, spec: SessionSpec, /) -> OpenSession:
        steering = self._endpoint.steering
        await steering.enter()
        try:
            session = await self._gateway.open(spec)
        except BaseException:
            steering.leave()
            raise
        session.endpoint = self._endpoint
        self._begun.add(session.id)
        return OpenSession(session.id, session.key, f"{self._url}/s/{session.key}")

    async def end(self, session: str, /, *, stop: str, error: str | None, metadata: Mapping[str, Any]) -> None:
        try:
            await super().end(session, stop=stop, error=error, metadata=metadata)
        finally:
            if session in self._begun:
                self._begun.discard(session)
                self._endpoint.steering.leave()


def _config(row: RunRow | None) -> Mapping[str, Any]:
    found = orjson.loads(row.config) if row is not None else {}
    return found if isinstance(found, dict) else {}


def _kept(row: RunRow | None) -> Mapping[str, Any] | None:
    kept = _config(row).get("rollouts")
    return kept if isinstance(kept, dict) else None


def _was_cancelled(row: RunRow) -> bool:
    return bool(_config(row).get("cancelled"))


def _error(row: RunRow) -> str | None:
    error = _config(row).get("error")
    return None if error is None else str(error)


def _results(gateway: Gateway, run_id: str) -> list[RolloutResult]:
    """What has ended of a run's rollouts; those that were cut off with their process are none."""
    ended = (it for it in gateway.store.trajectories(run=run_id) if it.status == "ended" and it.stop != "cancelled")
    return last_attempts(ended)
