"""Agents of Python frameworks: whole conversations of the real ones, where they are installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from drawbar import Task, Trajectory
from drawbar.errors import ConfigurationError, UnknownName
from drawbar.rollout.harnesses import harness_factory, installed_harnesses, load_harness
from drawbar.testing import calls, together
from drawbar_harnesses.framework import FRAMEWORKS, FrameworkAgent
from drawbar_harnesses.frameworks.desk import Desk

NAMES = [
    "autogen", "google_adk", "langgraph", "llama_index", "mini_swe_agent", "openai_agents", "pydantic_ai",
    "smolagents", "strands",
]  # fmt: skip
KNOWN = {"smolagents": {"rewritten_history"}}
"""Findings that the agents' habits call forth: smolagents sends tool calls back as text."""
DeskAt = Callable[..., AbstractAsyncContextManager[Any]]


def where_installed(name: str) -> Any:
    there = harness_factory(name).install.installed
    reason = f"not installed: drawbar harness install {name}"
    return pytest.param(name, marks=[pytest.mark.slow, pytest.mark.skipif(not there, reason=reason)])


each = pytest.mark.parametrize("name", [where_installed(name) for name in NAMES])


async def worked(desk: Any, name: str, task: Task, **options: str) -> Trajectory:
    """What the agent did for this task, and that it left nothing running."""
    assignment = await desk.assignment(task=task)
    outcome = await load_harness(name, options).run(assignment)
    assert outcome.stop == "completed", outcome
    assert not [p for p in psutil.Process().children(recursive=True) if str(FRAMEWORKS) in " ".join(p.cmdline())]
    trajectory: Trajectory = await desk.ended(assignment, outcome)
    assert outcome.output["stdout"].strip().endswith(trajectory.completion)
    return trajectory


@each
async def test_every_turn_and_every_tool_call_is_recorded_and_joined(desk_at: DeskAt, name: str) -> None:
    lines = [
        {**calls("weather", town="Ghent"), "content": "Let me see."},
        together(("weather", {"town": "Bath"}), ("weather", {"town": "nowhere"})),
        "It does.",
    ]
    async with desk_at(lines, in_order=True) as desk:
        task = Task(key="t", prompt="Does it rain in {Ghent} {{ today }}?", system="Be {brief} {{ now }}.")
        trajectory = await worked(desk, name, task)
        sent = desk.server.requests
    assert trajectory.turns == len(sent) == 3
    assert trajectory.completion == "It does."
    assert "Does it rain in {Ghent} {{ today }}?" in str(sent[0].body["messages"])
    assert "Be {brief} {{ now }}." in str(sent[0].body["messages"])
    assert "It rains in Ghent." in str(sent[1].body["messages"])
    assert "there is no such town" in str(sent[2].body["messages"])
    first, *both = trajectory.tool_calls
    assert [first.arguments, *sorted((call.arguments for call in both), key=str)] == [
        {"town": "Ghent"}, {"town": "Bath"}, {"town": "nowhere"},
    ]  # fmt: skip
    assert all(call.tool_use_id for call in trajectory.tool_calls)
    assert {finding.name for finding in trajectory.health} <= KNOWN.get(name, set())


@each
async def test_earlier_turns_are_told_and_neither_tools_nor_a_system_prompt_are_needed(
    desk_at: DeskAt, name: str
) -> None:
    prompt: list[Mapping[str, Any]] = [
        {"role": "user", "content": "Name a town."},
        {"role": "assistant", "content": "Ghent."},
        {"role": "user", "content": [{"type": "text", "text": "Another."}]},
    ]
    async with desk_at(lambda body: "Bath.", tools=[]) as desk:
        trajectory = await worked(desk, name, Task(key="t", prompt=prompt))
        (sent,) = desk.server.requests
    said = str(sent.body["messages"])
    assert said.index("Name a town.") < said.index("Ghent.") < said.index("Another.")
    assert not sent.body.get("tools")
    assert trajectory.completion == "Bath."


@pytest.mark.parametrize("name", [where_installed("mini_swe_agent")])
async def test_the_shell_of_mini_swe_agent_is_there_when_it_is_wanted(desk_at: DeskAt, name: str) -> None:
    async with desk_at([calls("bash", command="echo $((6 * 7)) in $PWD"), "Done."], in_order=True) as desk:
        await worked(desk, name, Task(key="t", prompt="Compute."), own_tools="true")
        first, second = desk.server.requests
    assert [tool["function"]["name"] for tool in first.body["tools"]] == ["bash", "weather"]
    assert "42 in " in second.body["messages"][-1]["content"]


def test_each_framework_has_its_harness_its_program_and_pinned_packages() -> None:
    classes = {name: harness_factory(name) for name in installed_harnesses()}
    assert [name for name, made in classes.items() if FrameworkAgent in getattr(made, "__mro__", ())] == NAMES
    for name in NAMES:
        assert (FRAMEWORKS / f"{name}.py").is_file()
        assert all("==" in requirement for requirement in classes[name].install.requirements)
        assert (classes[name].install.name, classes[name].dialect) == (name, "chat")


@pytest.mark.parametrize("name", NAMES)
def test_a_framework_that_is_not_installed_is_told_with_the_command_that_installs_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAWBAR_HARNESS_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match=f"drawbar harness install {name}"):
        load_harness(name)


@pytest.mark.parametrize("name", [where_installed("langgraph")])
def test_a_dialect_that_a_framework_does_not_speak_is_refused_with_those_that_it_does(name: str) -> None:
    with pytest.raises(UnknownName, match=r"No dialect of langgraph named 'gemini'.*chat, messages, responses"):
        load_harness(name, {"dialect": "gemini"})


def desk(*messages: dict[str, Any]) -> Desk:
    return Desk("http://localhost", "key", "http://localhost/mcp", "model", list(messages))


def test_a_prompt_alone_is_the_task_and_a_conversation_is_told_by_its_speakers() -> None:
    system = {"role": "system", "content": "Be brief."}
    asked = {"role": "user", "content": "Name a town."}
    assert (desk(system, asked).system, desk(system, asked).task) == ("Be brief.", "Name a town.")
    answered = {"role": "assistant", "content": [{"type": "text", "text": "Ghent."}]}
    assert desk(asked, answered, asked).task == "User: Name a town.\n\nAssistant: Ghent.\n\nUser: Name a town."
    assert desk(asked).system is None


@pytest.mark.parametrize(
    "message",
    [
        {
            "role": "user",
            "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "It rains."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    ],
)
def test_an_opening_that_holds_more_than_words_is_refused_with_what_to_do(message: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="use another harness"):
        _ = desk(message).task
