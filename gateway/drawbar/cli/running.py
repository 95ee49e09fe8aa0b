"""From a request to a report: puts store, gateway, harness and engine together, and minds the signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from drawbar.cli.output import note, reading
from drawbar.cli.progress import progress
from drawbar.cli.request import Request, loaded_environment, models_for, planned
from drawbar.errors import StoreError, UnknownName
from drawbar.rollout.access import GatewayAccess, LocalAccess
from drawbar.rollout.engine import run as run_plan
from drawbar.rollout.events import Listener, RunInterrupted
from drawbar.rollout.plan import Plan
from drawbar.rollout.report import Report

if TYPE_CHECKING:
    from drawbar.environment import Environment
    from drawbar.record.redaction import Redact
    from drawbar.record.rows import RunRow

_SHOW_CURSOR = "\x1b[?25h"


@dataclass(frozen=True, slots=True)
class Where:
    """Where a run is recorded, and whether its progress is shown."""

    store: str
    gateway: str | None
    gateway_key_env: str
    quiet: bool
    redact: Redact | None = None
    """What may be kept of each body; a gateway elsewhere has patterns of its own."""


def start_run(request: Request, where: Where) -> Report:
    """A new run."""
    return _in_loop(lambda: _run(request, where, None))


def resume_run(prefix: str, changes: Mapping[str, Any], where: Where) -> Report:
    """What is missing of a run. `changes` replace what was asked for then."""

    async def resume() -> Report:
        row = await _find_run(prefix, where)
        return await _run(msgspec.structs.replace(Request.of(row), **changes), where, row.id)

    return _in_loop(resume)


async def _run(request: Request, where: Where, resumed: str | None) -> Report:
    environment = loaded_environment(request)
    plan = planned(request, environment, resumed)
    with progress(sys.stderr, quiet=where.quiet) as listen:
        async with _access(request, environment, where) as access:
            history = () if resumed is None else await access.results(resumed)
            with _interruptible(listen) as stop:
                try:
                    return await run_plan(plan, access, listen=listen, stop=stop, history=history)
                except StoreError as error:
                    raise _stopped(plan, error) from error


@asynccontextmanager
async def _access(request: Request, environment: Environment, where: Where) -> AsyncIterator[GatewayAccess]:
    """The gateway that was asked for: one in this process, on a free port of the loopback, or another by its URL."""
    if where.gateway is not None:
        from drawbar.rollout.remote import connected

        async with connected(where.gateway, os.environ.get(where.gateway_key_env)) as remote:
            await remote.serves(environment.name)
            yield remote
        return
    from drawbar.collector import settle
    from drawbar.gateway import Gateway
    from drawbar.record.store import Store
    from drawbar.serving import serving

    models = models_for(request, environment)
    store = Store.open(where.store)
    try:
        gateway = Gateway(store, models, environments={environment.name: environment}, redact=where.redact)
        async with gateway, serving(gateway) as url:
            settle()
            yield LocalAccess(gateway, url)
    finally:
        store.close()


async def _find_run(prefix: str, where: Where) -> RunRow:
    if where.gateway is not None:
        from drawbar.rollout.remote import connected

        async with connected(where.gateway, os.environ.get(where.gateway_key_env)) as remote:
            return await remote.run(prefix)
    with reading(where.store) as store:
        run = store.run(store.resolve(prefix))
        if run is None:
            raise UnknownName("run", prefix, [row.id for row in store.runs()])
        return run


def _stopped(plan: Plan, error: StoreError) -> StoreError:
    return StoreError(
        f"{error}\nThe run was stopped, because what happens could not be recorded. What was recorded is safe. When "
        f"the store can be written again: drawbar run --resume {plan.run}"
    )


@contextmanager
def _interruptible(listen: Listener) -> Iterator[anyio.CancelScope]:
    """A scope that the first Ctrl-C (or SIGTERM) cancels; the second ends the process where it stands."""
    scope = anyio.CancelScope()
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if scope.cancel_called:
            if sys.stderr.isatty():
                note(_SHOW_CURSOR)  # which the display hid, and nothing else will bring back
            os._exit(130)  # children are killed by their wardens, whose pipe to us breaks
        listen(RunInterrupted())
        scope.cancel()

    caught = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, ValueError):  # not on Windows, not outside the main thread
            loop.add_signal_handler(number, interrupt)
            caught.append(number)
    try:
        yield scope
    finally:
        for number in caught:
            loop.remove_signal_handler(number)


def _in_loop(work: Callable[[], Awaitable[Report]]) -> Report:
    return anyio.run(work, backend_options={"use_uvloop": sys.platform != "win32"})
