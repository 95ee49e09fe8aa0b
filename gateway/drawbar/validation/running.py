"""Validating an environment: an oracle and an agent that does nothing, through the real gateway and engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson

from drawbar.environment import Environment
from drawbar.rollout.access import GatewayAccess, LocalAccess
from drawbar.rollout.engine import run
from drawbar.rollout.events import Event, RolloutFinished
from drawbar.rollout.harnesses import load_harness
from drawbar.rollout.plan import Plan
from drawbar.rollout.result import RolloutResult
from drawbar.task import Task
from drawbar.trajectory import Trajectory
from drawbar.user import ModelUser, User
from drawbar.validation.checks import (
    Problem,
    check_cassettes,
    check_idle,
    check_oracle,
    check_repeats,
    check_tasks,
    check_tools,
    check_user,
)

ORACLE: Final = "oracle"
_IDLE: Final = "drawbar-idle"
_HARNESS: Final = "loop"


@dataclass(slots=True)
class Findings:
    """What was looked at, and what is wrong."""

    tasks: int = 0
    """Tasks that were tried."""
    tools: int = 0
    """Tools that agents were offered."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        return not self.problems


async def validate(environment: Environment, *, limit: int = 1000, oracle: bool = True) -> Findings:
    """Try the environment's first `limit` tasks: its `models["oracle"]` twice, and an agent that does nothing once.

    Everything goes through a gateway on a free port and a store that is thrown away. `oracle=False` leaves the oracle
    out.

    Raises:
        HarnessError, StoreError: the trial itself could not be made.
    """
    found = Findings(problems=[*check_tasks(environment), *check_cassettes(environment)])
    if not found.problems:
        found.problems += check_user(environment, limit)
    if found.problems:
        return found
    tried = replace(environment, models={**environment.models, _IDLE: _do_nothing}, user=_user_here(environment))
    async with _gateway(tried) as access:
        idle = await _trajectories(tried, access, _IDLE, rollouts=1, limit=limit)
        found.tasks = len(idle)
        unusable = [t for t in idle if t.stop in ("tool_server_failed", "harness_failed", "user_failed")]
        if unusable:
            found.problems.append(_unusable(unusable[0], len(unusable)))
            return found
        tools = _offered(idle)
        found.tools = len(tools)
        found.problems += [*check_tools(tools), *check_idle(idle)]
        if oracle:
            found.problems += await _with_oracle(tried, access, limit)
    return found


async def _with_oracle(environment: Environment, access: GatewayAccess, limit: int) -> list[Problem]:
    if ORACLE not in environment.models:
        what = "The environment has no oracle, so nothing shows that its tasks can be solved."
        return [Problem("oracle", what, 'Give it `models={"oracle": ...}`, or leave this out with --no-oracle.')]
    seen = await _trajectories(environment, access, ORACLE, rollouts=2, limit=limit)
    first, second = ([t for t in seen if t.rollout == rollout] for rollout in (0, 1))
    return [*check_oracle(environment, first), *check_repeats(first, second)]


async def _trajectories(
    environment: Environment, access: GatewayAccess, model: str, *, rollouts: int, limit: int
) -> list[Trajectory]:
    """Every rollout's trajectory, in the order of the tasks; of one that found no session, how it ended."""
    results: list[RolloutResult] = []

    def listen(event: Event) -> None:
        if isinstance(event, RolloutFinished):
            results.append(event.result)

    plan = Plan(
        environment=environment, harness=load_harness(_HARNESS), model=model, tasks=limit, rollouts=rollouts, retries=0
    )
    await run(plan, access, listen=listen)
    order = {task.key: position for position, task in enumerate(environment.iter_tasks(limit))}
    results.sort(key=lambda result: (order[result.task_key], result.rollout))
    return [
        await access.trajectory(result.session)
        if result.session
        else Trajectory(id="", rollout=result.rollout, stop=result.cause, error=result.error)
        for result in results
    ]


async def _do_nothing(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None, /
) -> Mapping[str, Any]:
    return {"role": "assistant", "content": ""}


def _offered(trajectories: Sequence[Trajectory]) -> list[dict[str, Any]]:
    """The tools as a model was shown them, each once, in the form that MCP gives them."""
    found: dict[bytes, dict[str, Any]] = {}
    for offer in {call.tools for trajectory in trajectories for call in trajectory.calls if call.tools}:
        for tool in orjson.loads(offer):
            function = tool.get("function", {})
            shown = {"name": function.get("name", ""), "inputSchema": function.get("parameters", {})}
            found[orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)] = shown
    return list(found.values())


def _user_here(environment: Environment) -> User | None:
    """Its user. Where a model plays it that is not the environment's own, recorded turns are replayed: none is asked
    here."""
    away = isinstance(environment.user, ModelUser) and environment.user.model not in environment.models
    return None if away else environment.user


def _unusable(trajectory: Trajectory, count: int) -> Problem:
    return Problem(
        "tools",
        f"{count} rollout{'s' * (count > 1)} could not be made: {trajectory.stop}: {trajectory.error}",
        "See that its user says something that can be used."
        if trajectory.stop == "user_failed"
        else "See that the environment's servers start, and that their tools can be listed.",
    )


@asynccontextmanager
async def _gateway(environment: Environment) -> AsyncIterator[GatewayAccess]:
    from drawbar.gateway import Gateway
    from drawbar.proxy.models import Models
    from drawbar.record.store import Store
    from drawbar.serving import serving

    with TemporaryDirectory(prefix="drawbar-validate-") as folder:
        store = Store.open(Path(folder) / "drawbar.db")
        try:
            models = Models(in_process=environment.models)
            gateway = Gateway(store, models, environments={environment.name: environment})
            async with gateway, serving(gateway) as url:
                yield LocalAccess(gateway, url)
        finally:
            store.close()
