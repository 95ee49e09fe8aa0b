"""Command-line agents at work for real: what they do through their session is recorded whole, and nothing of it stays.

The scripted model's own log and the tools' own log are the truth that the trajectory is held against.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from drawbar import Task, Trajectory
from drawbar.rollout.harnesses import harness_factory, load_harness
from drawbar.testing import ScriptedModel, calls, says, together
from drawbar.testing.agents import for_agents
from drawbar.user_part import UserPart, heard

DeskAt = Callable[..., AbstractAsyncContextManager[Any]]
AGENTS = ("claude_code", "cline", "codex", "copilot", "gemini_cli", "opencode", "pi", "qwen_code")
SCRIPT = [
    {**calls("weather", town="Ghent"), "content": "Let me look."},
    together(("weather", {"town": "Bath"}), ("weather", {"town": "Bruges"})),
    says("It rains everywhere."),
]
TASK = Task(key="t", prompt='-- Is it "raining" in Ghent,\nBath & Bruges?', answer="yes", system="Be brief, friend.")
OF_CODEX = {"list_mcp_resources", "list_mcp_resource_templates", "read_mcp_resource", "request_user_input"}
"""Tools of its own that it cannot be told to leave out. They run nothing."""


def installed(name: str) -> Any:
    there = harness_factory(name).install.installed
    reason = f"not installed: drawbar harness install {name}"
    return pytest.param(name, marks=[pytest.mark.slow, pytest.mark.skipif(not there, reason=reason)])


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a folder for temporary files that nothing but the test uses."""
    installs = os.environ.get("DRAWBAR_HARNESS_HOME") or str(Path.home() / ".cache" / "drawbar" / "harnesses")
    monkeypatch.setenv("DRAWBAR_HARNESS_HOME", installs)
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path / "HOME")
    return tmp_path


class Scripted:
    """A scripted model that keeps what it was asked, whatever dialect it was asked in."""

    def __init__(self, replies: Sequence[Any]) -> None:
        self._play = for_agents(ScriptedModel(replies))
        self.asked: list[tuple[str, set[str]]] = []
        """Of each request: its messages as one text, and the names of its tools."""

    async def __call__(self, messages: Sequence[Any], tools: Sequence[Any], task: Task | None, /) -> Any:
        self.asked.append((json.dumps(list(messages)), {tool["function"]["name"] for tool in tools}))
        return await self._play(messages, tools, task)


@pytest.mark.parametrize("name", [installed(name) for name in AGENTS])
async def test_what_an_agent_does_is_recorded_whole_and_nothing_of_it_stays(
    name: str, desk_at: DeskAt, folders: Path
) -> None:
    towns: list[str] = []

    async def weather(town: str) -> str:
        """The weather in a town."""
        towns.append(town)
        return f"It rains in {town}."

    model = Scripted(SCRIPT)
    async with desk_at([], tools=[weather], tasks=[TASK], models={"scripted": model}) as desk:
        harness = load_harness(name)
        assignment = await desk.assignment()
        outcome = await harness.run(assignment)
        trajectory = await desk.ended(assignment, outcome)
    assert (outcome.stop, outcome.error) == ("completed", None), outcome.output
    assert trajectory.completion == "It rains everywhere."
    assert trajectory.turns == len(model.asked) == len(SCRIPT)
    assert {call.dialect for call in trajectory.calls} == {harness_factory(name).dialect}
    assert sorted(towns) == ["Bath", "Bruges", "Ghent"]
    _joined(trajectory)
    opening, tools = model.asked[0]
    assert all(json.dumps(words)[1:-1] in opening for words in (TASK.prompt, TASK.system))
    assert all(name.endswith("weather") for name in tools - OF_CODEX)
    _nothing_stays(folders, assignment.session)


@pytest.mark.parametrize("name", [installed(name) for name in AGENTS if harness_factory(name).asks_user])
async def test_an_agent_goes_on_with_its_conversation_when_its_user_replies(
    name: str, desk_at: DeskAt, folders: Path
) -> None:
    turns = ["-- And in Bath?", "Thanks\na lot."]
    task = Task(key="t", prompt="Is it raining in Ghent?", user_turns=turns, system="Be brief, friend.")
    script = [
        calls("weather", town="Ghent"), says("It rains."), calls("weather", town="Bath"), says("There, too."),
        says("With pleasure."),
    ]  # fmt: skip
    model = Scripted(script)
    async with desk_at([], tasks=[task], models={"scripted": model}) as desk:
        harness = load_harness(name)
        assignment = await desk.assignment(task=task)
        outcome = await harness.run(replace(assignment, user_url=f"{assignment.base_url}/user"))
        trajectory = await desk.ended(assignment, outcome)
    assert (outcome.stop, outcome.error) == ("completed", None), outcome.output
    assert (trajectory.stop, trajectory.turns, len(model.asked)) == ("completed", 5, 5)
    assert [thread.name for thread in trajectory.threads] == ["main"]
    part = UserPart.of(trajectory.metadata)
    assert part is not None
    assert len(heard(part, trajectory.messages)) == 2
    assert trajectory.completion == "With pleasure."
    last, _ = model.asked[-1]
    assert all(json.dumps(said)[1:-1] in last for said in (task.prompt, "It rains.", "There, too.", *turns))
    _nothing_stays(folders, assignment.session)


def _joined(trajectory: Trajectory) -> None:
    """Every tool call stands with the model's call that it answers, and the model saw what it said."""
    used = [use for call in trajectory.calls if call.message is not None for use in call.message.tool_uses]
    assert sorted(call.tool_use_id or "" for call in trajectory.tool_calls) == sorted(use.id for use in used)
    assert {call.seen for call in trajectory.tool_calls} <= {"same", "wrapped"}
    assert {finding.name for finding in trajectory.health} <= {"lossy_translation"}  # to a model that speaks chat


def _nothing_stays(folders: Path, session: str) -> None:
    left = [path for name in ("HOME", "TMPDIR") for path in (folders / name).iterdir()]
    assert not left
    running = [
        p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("DRAWBAR_SESSION") == session
    ]
    assert not running


@pytest.mark.parametrize("name", AGENTS)
def test_what_an_agent_speaks_and_its_version_are_known_without_it(name: str) -> None:
    factory = harness_factory(name)
    assert factory.dialect in {"chat", "responses", "messages", "gemini"}
    assert factory.install.name == name
    assert factory.install.label == f"{name} {factory.install.version}"
