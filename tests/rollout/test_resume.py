"""An interrupted run: what is kept, what is done again, and what only lacks its scores."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest

from drawbar import Environment, Task, Trajectory, group_reward, reward
from drawbar.record.store import Store
from drawbar.rollout.access import LocalAccess
from drawbar.rollout.engine import run
from drawbar.rollout.events import Event, RolloutFinished, RolloutStarted
from drawbar.rollout.plan import Plan
from drawbar.testing import Failure, Hang, ScriptedModel, serve_chat
from drawbar_harnesses.chat import ChatHarness

Reach = Callable[..., AbstractAsyncContextManager[LocalAccess]]


@reward
def right(completion: str, answer: str) -> bool:
    return completion == answer


def quiz(**changes: Any) -> Environment:
    tasks = [Task(key=f"q{i}", prompt=f"Question {i}", answer="yes") for i in range(6)]
    script = ScriptedModel(["yes"])
    return Environment(**{"name": "quiz", "tasks": tasks, "rubric": [right], "models": {"script": script}, **changes})


def planned(environment: Environment, **changes: Any) -> Plan:
    given = {"environment": environment, "harness": ChatHarness(), "model": "script", "backoff": 0.0, "concurrency": 2}
    return Plan(**{**given, **changes})


async def test_an_interrupted_run_keeps_what_is_finished_and_does_the_rest(reach: Reach, read: Any) -> None:
    environment, stop, finished = quiz(), anyio.CancelScope(), 0

    def interrupt(event: Event) -> None:
        nonlocal finished
        finished += isinstance(event, RolloutFinished)
        if finished == 2:
            stop.cancel()

    plan = planned(environment, rollouts=2)
    async with reach(environment) as access:
        first = await run(plan, access, listen=interrupt, stop=stop)
    assert first.run.status == "interrupted"
    assert 2 <= first.rollouts < 12

    started: list[tuple[str, int]] = []

    def watch(event: Event) -> None:
        if isinstance(event, RolloutStarted):
            started.append((event.task_key, event.rollout))

    async with reach(environment) as access:
        second = await run(plan, access, listen=watch, history=await access.results(plan.run))
    assert (second.run.status, second.rollouts, second.valid) == ("finished", 12, 12)
    assert second.kept == first.rollouts
    assert len(started) == len(set(started)) == 12 - first.rollouts
    store = read()
    assert not store.sessions(run=plan.run, status="open")
    assert store.run(plan.run).status == "finished"
    store.close()


async def test_interrupting_ends_the_sessions_that_are_under_way(reach: Reach, read: Any) -> None:

    environment = quiz(models={})
    stop = anyio.CancelScope()
    plan = planned(environment, model="m")
    async with (
        serve_chat(lambda body: Hang()) as server,
        reach(environment, base_url=server.base_url) as access,
        anyio.create_task_group() as group,
    ):

        async def interrupt() -> None:
            await server.arrived.wait()
            stop.cancel()

        group.start_soon(interrupt)
        report = await run(plan, access, stop=stop)
    assert (report.run.status, report.rollouts) == ("interrupted", 0)
    store = read()
    assert {session.stop for session in store.sessions(run=plan.run)} == {"cancelled"}
    store.close()


async def test_a_task_that_was_changed_meanwhile_is_done_again(reach: Reach) -> None:
    environment = quiz()
    plan = planned(environment)
    async with reach(environment) as access:
        await run(plan, access)
    changed = quiz(tasks=[Task(key=f"q{i}", prompt=f"Question {i}{'!' * (i == 3)}", answer="yes") for i in range(6)])
    again = planned(changed, run=plan.run)
    async with reach(changed) as access:
        report = await run(again, access, history=await access.results(plan.run))
    assert (report.rollouts, report.kept) == (6, 5)


async def test_invalid_rollouts_are_done_again_as_further_attempts(reach: Reach, read: Any) -> None:
    environment = quiz(models={}, tasks=[Task(key="q", prompt="Question", answer="yes")])
    plan = planned(environment, model="m")
    async with (
        serve_chat([Failure(400), "yes"], in_order=True) as server,
        reach(environment, base_url=server.base_url) as access,
    ):
        first = await run(plan, access)
        second = await run(plan, access, history=await access.results(plan.run))
    assert (first.invalid, second.valid) == (1, 1)
    store = read()
    assert sorted(t.attempt for t in store.trajectories(run=plan.run)) == [0, 1]
    store.close()


async def test_a_rollout_that_only_lacks_scores_is_scored_and_not_done_again(reach: Reach) -> None:
    broken = True

    @reward
    def judged(completion: str) -> bool:
        if broken:
            raise RuntimeError("the judge is out")
        return completion == "yes"

    environment = quiz(rubric=[judged])
    plan = planned(environment)
    async with reach(environment) as access:
        first = await run(plan, access)
        broken = False
        events: list[Event] = []
        second = await run(plan, access, listen=events.append, history=await access.results(plan.run))
    assert (first.errors, second.valid) == ({"scorer_failed": 6}, 6)
    assert not [event for event in events if isinstance(event, RolloutStarted)]


async def test_a_group_that_was_half_done_is_scored_whole(reach: Reach) -> None:
    sizes: list[int] = []

    @group_reward
    def first_wins(trajectories: list[Trajectory]) -> list[float]:
        sizes.append(len(trajectories))
        return [float(t.rollout == 0) for t in trajectories]

    environment = quiz(rubric=[first_wins], models={}, tasks=[Task(key="q", prompt="Question", answer="yes")])
    plan = planned(environment, model="m", rollouts=3, concurrency=1)
    async with (
        serve_chat(["yes", Failure(400), "yes", "yes"], in_order=True) as server,
        reach(environment, base_url=server.base_url) as access,
    ):
        first = await run(plan, access)
        second = await run(plan, access, history=await access.results(plan.run))
    assert (first.valid, first.invalid) == (2, 1)
    assert (second.valid, second.kept) == (3, 2)
    assert sizes == [2, 3]
    assert second.reward is not None
    assert second.reward.mean == pytest.approx(1 / 3)


async def test_a_run_that_was_finished_has_nothing_left_to_do(reach: Reach, tmp_path: Path) -> None:
    environment = quiz()
    plan = planned(environment)
    async with reach(environment) as access:
        first = await run(plan, access)
    before = Store.open(tmp_path / "runs.db", read_only=True)
    sessions = len(before.sessions(run=plan.run))
    before.close()
    async with reach(environment) as access:
        second = await run(plan, access, history=await access.results(plan.run))
    assert second.kept == 6
    assert second.reward == first.reward
    after = Store.open(tmp_path / "runs.db", read_only=True)
    assert len(after.sessions(run=plan.run)) == sessions
    after.close()
