"""Tasks whose user has more to say, through the engine, the gateway and our own harnesses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from drawbar import Conversation, Environment, Harness, Limits, ModelUser, Task, Trajectory, User, reward
from drawbar.errors import ConfigurationError
from drawbar.harness import Assignment, Outcome
from drawbar.rollout.access import LocalAccess
from drawbar.rollout.engine import run
from drawbar.rollout.events import Event, RolloutFinished
from drawbar.rollout.harnesses import load_harness
from drawbar.rollout.plan import Plan
from drawbar.rollout.report import Report
from drawbar.rollout.result import RolloutResult
from drawbar.testing import Failure, Hang, calls, says, serve_chat
from drawbar_harnesses.chat import ChatHarness

Reach = Callable[..., AbstractAsyncContextManager[LocalAccess]]

PROGRAM = Path(__file__).parents[1] / "harnesses" / "agent_program.py"
OWN: dict[str, dict[str, str]] = {"loop": {}, "chat": {}, "command": {"command": f"{sys.executable} {PROGRAM}"}}
TURNS = ("And in Gent?", "And in Rome?")


async def echo(messages: Sequence[Mapping[str, Any]], tools: Any, task: Any, /) -> Mapping[str, Any]:
    """An agent's model that answers what was said last."""
    return says(f"You said: {messages[-1]['content']}")


@reward
def heard_all(trajectory: Trajectory) -> float:
    said = [message.text for message in trajectory.messages if message.role == "user"]
    return float(said == ["Is it raining?", *TURNS])


def weather(**changes: Any) -> Environment:
    tasks = [Task(key="rain", prompt="Is it raining?", user_turns=TURNS)]
    given = {"name": "weather", "tasks": tasks, "rubric": [heard_all], "models": {"echo": echo}}
    return Environment(**{**given, **changes})


def planned(environment: Environment, **changes: Any) -> Plan:
    given = {"environment": environment, "harness": ChatHarness(), "model": "echo", "backoff": 0.0, "retries": 0}
    return Plan(**{**given, **changes})


async def played(
    reach: Reach, environment: Environment, *, base_url: str | None = None, **changes: Any
) -> tuple[Report, list[Trajectory]]:
    """The run's report, and what was recorded of each rollout's last attempt."""
    found: list[RolloutResult] = []

    def listen(event: Event) -> None:
        if isinstance(event, RolloutFinished):
            found.append(event.result)

    async with reach(environment, base_url=base_url) as access:
        report = await run(planned(environment, **changes), access, listen=listen)
        return report, [await access.trajectory(result.session) for result in found]


@pytest.mark.parametrize("name", OWN)
async def test_a_harness_plays_every_recorded_turn_exactly_and_in_order(name: str, reach: Reach) -> None:
    report, (trajectory,) = await played(reach, weather(), harness=load_harness(name, OWN[name]))
    assert report.reward is not None and report.reward.mean == 1.0, (report.errors, report.examples)
    assert [message.text for message in trajectory.messages] == [
        "Is it raining?", "You said: Is it raining?",
        "And in Gent?", "You said: And in Gent?",
        "And in Rome?", "You said: And in Rome?",
    ]  # fmt: skip
    assert (trajectory.stop, trajectory.turns, list(trajectory.health)) == ("completed", 3, [])
    assert trajectory.metadata["simulated_user"]["mode"] == "replay"
    assert [turn["after"] for turn in trajectory.metadata["simulated_user"]["turns"]] == [
        call.id for call in trajectory.calls[:2]
    ]
    assert report.user is not None
    assert (report.user["turns"], report.user["replays"], report.user["exact"], report.user["cost"]) == (2, 1, 1, None)
