"""Command-line agents at work for real, with recorded tools in place of live ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drawbar import Environment, Task, Trajectory
from drawbar.rollout.harnesses import harness_factory, load_harness
from drawbar.testing import ScriptedModel, calls, says
from drawbar.testing.agents import for_agents
from drawbar.tools.cassettes.environments import recorded_to, replayed_from
from drawbar.tools.cassettes.settings import Mode

if TYPE_CHECKING:
    from tests.harnesses.conftest import DeskAt

TASK = Task(key="t", prompt="Is it raining in Ghent and in Bath?", answer="yes")
SCRIPT = [calls("weather", town="Ghent"), calls("weather", town="Bath"), says("It rains everywhere.")]


def installed(name: str) -> Any:
    there = harness_factory(name).install.installed
    reason = f"not installed: drawbar harness install {name}"
    return pytest.param(name, marks=[pytest.mark.slow, pytest.mark.skipif(not there, reason=reason)])


AGENTS = [installed(name) for name in ("claude_code", "codex", "gemini_cli", "opencode")]


class Weather:
    """Where nobody looks out of the window twice."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def weather(self, town: str) -> str:
        """The weather in a town."""
        self.asked.append(town)
        return f"It rains in {town}."

    def environment(self) -> Environment:
        return Environment(name="weather", tools=[self.weather], tasks=[TASK])


async def worked(desk_at: DeskAt, name: str, environment: Environment, script: Sequence[Any] = SCRIPT) -> Trajectory:
    """What an agent does there whose model follows the script."""
    models = {"scripted": for_agents(ScriptedModel(script))}
    async with desk_at([], tools=environment.tools, servers=environment.servers, tasks=[TASK], models=models) as desk:
        assignment = await desk.assignment()
        outcome = await load_harness(name).run(assignment)
        assert outcome.error is None, outcome.output
        return await desk.ended(assignment, outcome)


def told(trajectory: Trajectory) -> list[tuple[str, str, str | None]]:
    """Of each tool call: its town, what the tool said, and whether the model was shown that."""
    return [(str(call.arguments["town"]), call.text, call.seen) for call in trajectory.tool_calls]


@pytest.mark.parametrize("mode", ["strict", "by-arguments"])
@pytest.mark.parametrize("name", AGENTS)
async def test_an_agent_is_told_by_a_cassette_what_its_tools_told_it(
    name: str, mode: Mode, desk_at: DeskAt, tmp_path: Path
) -> None:
    weather = Weather()
    first = await worked(desk_at, name, recorded_to(weather.environment(), tmp_path / "tape.jsonl"))
    again = await worked(desk_at, name, replayed_from(weather.environment(), tmp_path / "tape.jsonl", mode))
    assert weather.asked == ["Ghent", "Bath"]
    assert told(again) == told(first)
    assert again.completion == first.completion == "It rains everywhere."
    (drift,) = again.metadata["cassettes"]
    assert (drift["tools"]["weather"]["hits"], drift["misses"], drift["unused"]) == (2, 0, 0)


@pytest.mark.parametrize("name", AGENTS)
async def test_an_agent_that_asks_otherwise_is_told_so_and_goes_on(name: str, desk_at: DeskAt, tmp_path: Path) -> None:
    weather = Weather()
    await worked(desk_at, name, recorded_to(weather.environment(), tmp_path / "tape.jsonl"))
    changed = [calls("weather", town="Ghent"), calls("weather", town="Bruges"), says("I do not know.")]
    again = await worked(desk_at, name, replayed_from(weather.environment(), tmp_path / "tape.jsonl"), changed)
    assert weather.asked == ["Ghent", "Bath"]
    assert again.completion == "I do not know."
    assert [call.is_error for call in again.tool_calls] == [False, True]
    (drift,) = again.metadata["cassettes"]
    assert (drift["misses"], drift["unused"]) == (1, 1)
    assert [missed["arguments"] for missed in drift["missed"]] == [{"town": "Bruges"}]
