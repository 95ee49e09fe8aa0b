"""Agents that name no session: their sub-agents belong to them, with the tool use that started each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from drawbar.testing import calls, says

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.harnesses.content.conftest import House, User

pytestmark = pytest.mark.slow
TASK = "Please look up whether it is raining in Ghent right now."
STARTS: dict[str, dict[str, Any]] = {
    "qwen_code": calls("agent", description="weather", prompt=TASK, subagent_type="general-purpose"),
    "gemini_cli": calls("invoke_agent", agent_name="generalist", prompt=TASK),
    "copilot": calls("task", agent_type="general-purpose", description="weather", prompt=TASK, name="w", mode="sync"),
    "cline": calls("spawn_agent", systemPrompt="You look things up.", task=TASK),
}
"""How each starts a sub-agent."""


def _asks(body: Mapping[str, Any]) -> bool:
    """Whether the sub-agent asks: the task stands in its prompt, and not in a tool call before it."""
    return not any("Ask a sub-agent" in str(message) for message in body["messages"])


@pytest.mark.parametrize("user", list(STARTS), indirect=True)
async def test_a_sub_agent_is_a_thread_of_its_agents_session(house: House, user: User) -> None:
    found = "It rains in Ghent, says the sub-agent."
    tell = calls("complete_task", result=found) if user.name == "gemini_cli" else says(found)
    house.model.aside = lambda body: tell if _asks(body) else None
    house.model.lines = [STARTS[user.name], says("It rains."), says("It does.")]
    ran = await user.ask("Is it raining in Ghent? Ask a sub-agent.")
    assert ran.status == 0, ran
    trajectory = await house.session()
    main, agent = trajectory.threads
    assert (main.name, agent.name, agent.parent) == ("main", "sub-agent 1", "main")
    assert agent.tool_use_id == "use_0_0_of_the_script"
    assert len(agent.calls) == sum(map(_asks, (each.body for each in house.model.log)))
    assert trajectory.completion in ("It rains.", "It does.")
    assert not trajectory.health


@pytest.mark.parametrize("user", [("gemini_cli", {"-m": "auto"})], indirect=True)
async def test_the_question_which_model_is_to_answer_is_a_side_call_of_its_session(house: House, user: User) -> None:
    house.model.aside = lambda body: (
        None if body.get("tools") else says('{"reasoning": "easy", "model_choice": "flash"}')
    )
    house.model.lines = [calls("weather", town="Ghent"), says("It rains.")]
    ran = await user.ask("Is it raining in Ghent?")
    assert ran.status == 0, ran
    trajectory = await house.session()
    assert [(thread.name, len(thread.calls)) for thread in trajectory.threads] == [("main", 2), ("side call 1", 1)]
    assert trajectory.completion == "It rains."
    assert not trajectory.health
