"""What every harness owes, whichever agent it runs. A new harness is tested here the day it is listed."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import psutil  # type: ignore[import-untyped]
import pytest

from drawbar import Harness, Limits, Task
from drawbar.causes import CAUSES
from drawbar.rollout.harnesses import harness_factory, installed_harnesses, load_harness
from drawbar.testing import Failure, Hang, calls
from drawbar.testing.agents import as_offered

AGENT = Path(__file__).with_name("agent_program.py")
OWN: dict[str, dict[str, str]] = {"loop": {}, "chat": {}, "command": {"command": f"{sys.executable} {AGENT}"}}
"""How each harness that needs no install is set up to be tested."""
DeskAt = Callable[..., AbstractAsyncContextManager[Any]]


def shipped() -> list[str]:
    return [name for name, point in installed_harnesses().items() if point.value.startswith("drawbar_harnesses.")]


def foreign(name: str) -> Any:
    """An agent that is no part of drawbar: tested where it is installed."""
    there = harness_factory(name).install.installed
    reason = f"not installed: drawbar harness install {name}"
    return pytest.param(name, marks=[pytest.mark.slow, pytest.mark.skipif(not there, reason=reason)])


@pytest.fixture(params=[*sorted(OWN), *(foreign(name) for name in shipped() if name not in OWN)])
def harness(request: pytest.FixtureRequest) -> Harness:
    return load_harness(request.param, OWN.get(request.param))


async def test_it_works_through_its_session_and_is_done_when_the_agent_has_answered(
    harness: Harness, desk_at: DeskAt
) -> None:
    async with desk_at(["It does."]) as desk:
        assignment = await desk.assignment()
        outcome = await harness.run(assignment)
        trajectory = await desk.ended(assignment, outcome)
    assert outcome.stop == "completed"
    assert trajectory.completion == "It does."
    opening = "\n".join(message.text for message in trajectory.messages[:-1])
    assert "Be brief." in opening
    assert "Is it raining in Ghent?" in opening
    assert not trajectory.health
    if harness.name in OWN:  # nothing of an agent's own stands between the task and the model
        assert trajectory.turns == 1
        assert [message.text for message in trajectory.messages][:2] == ["Be brief.", "Is it raining in Ghent?"]


async def test_the_agent_never_sees_the_answer_nor_the_providers_key(harness: Harness, desk_at: DeskAt) -> None:
    async with desk_at(["It does."]) as desk:
        await harness.run(await desk.assignment())
        sent = [received.raw for received in desk.server.requests]
    assert sent
    assert not [raw for raw in sent if b"the secret answer" in raw or b"provider-secret" in raw]


async def test_it_ends_for_a_known_cause_when_the_provider_fails(harness: Harness, desk_at: DeskAt) -> None:
    async with desk_at([Failure(503, "overloaded")]) as desk:
        assignment = await desk.assignment()
        outcome = await harness.run(assignment)
        trajectory = await desk.ended(assignment, outcome)
    assert outcome.stop in CAUSES
    assert trajectory.stop == "upstream_unavailable"


async def test_a_limit_stops_it(harness: Harness, desk_at: DeskAt) -> None:
    def calls_again(body: dict[str, Any]) -> Any:
        said = calls("weather", town="Ghent")
        return as_offered(said, body["tools"]) if "tools" in body else said

    if harness.name == "chat":
        pytest.skip("It asks once, whatever it is told.")
    async with desk_at(calls_again) as desk:
        assignment = await desk.assignment(limits=Limits(turns=1, seconds=30))  # some ask again and again
        outcome = await harness.run(assignment)
        trajectory = await desk.ended(assignment, outcome)
    assert (trajectory.stop, trajectory.turns) == ("limit_turns", 1)


async def test_wall_time_stops_it(harness: Harness, desk_at: DeskAt) -> None:
    async with desk_at([Hang()]) as desk:
        assignment = await desk.assignment(limits=Limits(seconds=1.5))
        trajectory = await desk.ended(assignment, await harness.run(assignment))
    assert trajectory.stop == "limit_time"


async def test_when_it_is_cancelled_it_ends_soon_and_leaves_nothing_behind(harness: Harness, desk_at: DeskAt) -> None:
    async with desk_at([Hang()]) as desk:
        assignment = await desk.assignment()
        before = {child.pid for child in psutil.Process().children(recursive=True)}
        tasks = asyncio.all_tasks()
        async with anyio.create_task_group() as group:
            group.start_soon(harness.run, assignment)
            await desk.server.arrived.wait()
            began = time.monotonic()
            group.cancel_scope.cancel()
        assert time.monotonic() - began < 5
        assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
        ours = [t for t in asyncio.all_tasks() - tasks if "drawbar_harnesses" in repr(t)]
        assert not ours


async def test_two_at_once_do_not_meet(harness: Harness, desk_at: DeskAt) -> None:
    def echo(body: dict[str, Any]) -> str:
        return "heard 0" if "number 0" in str(body["messages"]) else "heard 1"

    async with desk_at(echo) as desk:
        assignments = [await desk.assignment(task=Task(key=f"t{i}", prompt=f"number {i}")) for i in range(2)]
        outcomes = await asyncio.gather(*(harness.run(assignment) for assignment in assignments))
        trajectories = [await desk.ended(a, o) for a, o in zip(assignments, outcomes, strict=True)]
    assert [trajectory.completion for trajectory in trajectories] == ["heard 0", "heard 1"]
