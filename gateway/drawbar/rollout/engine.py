"""The engine: takes a plan's tasks through its harness, so many at a time, and reports. A failed rollout is data.

It knows a gateway only by `GatewayAccess` and a harness only by its protocol. What follows from how a rollout ended
stands in `drawbar.causes`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import msgspec

from drawbar.errors import StoreError
from drawbar.harness import Harness
from drawbar.record.rows import RunRow
from drawbar.rollout.access import GatewayAccess
from drawbar.rollout.events import Event, Listener, RunStarted
from drawbar.rollout.jobs import Jobs
from drawbar.rollout.plan import Plan
from drawbar.rollout.report import Report, Tally
from drawbar.rollout.result import RolloutResult
from drawbar.rollout.worker import Worker


def _nobody(event: Event) -> None:
    """The listener of a run that nobody watches."""


async def run(
    plan: Plan,
    access: GatewayAccess,
    *,
    listen: Listener = _nobody,
    stop: anyio.CancelScope | None = None,
    history: Iterable[RolloutResult] = (),
) -> Report:
    """Do the plan and report.

    Cancelling `stop` interrupts it: sessions are ended and the report is of what was done. To go on with an interrupted
    run, give the same plan and, as `history`, what `access.results` says of it: finished rollouts are kept.

    Raises:
        ConfigurationError: tasks that cannot be used.
        StoreError: what happens can no longer be recorded. The run stops and can be resumed.
    """
    tasks, tally, row = plan.selected(), Tally(), plan.row(time.time())
    worker = Worker(plan, access, tally, listen)
    jobs = Jobs(plan, tasks, history, worker.keep)
    total = tasks.total * plan.rollouts
    await access.record(row)
    listen(RunStarted(row, total, tally))
    status = "failed"
    try:
        with stop or anyio.CancelScope() as scope:
            async with _entered(plan.harness):
                await _at_a_time(min(plan.at_a_time, total), worker, jobs)
        status = "interrupted" if scope.cancelled_caught else "finished"
    except anyio.get_cancelled_exc_class():
        status = "interrupted"
        raise
    finally:
        row = msgspec.structs.replace(row, status=status, ended=time.time())
        await _close(access, row, failed=status == "failed")
    return tally.report(row)


async def _at_a_time(count: int, worker: Worker, jobs: Jobs) -> None:
    """`count` workers share the jobs; each takes the next when it is done with its last, so none is made too early."""

    async def work() -> None:
        for job in jobs:
            await worker.do(job)

    try:
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(work)
    except BaseExceptionGroup as failed:
        raise _first(failed) from failed


def _first(failed: BaseExceptionGroup) -> BaseException:
    """One fault stops the run; the others are the same one seen by other workers."""
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def _entered(harness: Harness) -> AsyncIterator[None]:
    """A harness that keeps something between rollouts is an async context manager; one that is not needs nothing."""
    if isinstance(harness, AbstractAsyncContextManager):
        async with harness:
            yield
    else:
        yield


async def _close(access: GatewayAccess, row: RunRow, *, failed: bool) -> None:
    """Write down how the run ended, come what may. When it failed because nothing can be written, this does too."""
    with anyio.CancelScope(shield=True):
        try:
            await access.record(row)
        except StoreError:
            if not failed:
                raise
