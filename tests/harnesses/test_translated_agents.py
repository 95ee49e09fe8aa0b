"""Real agents before providers that speak another dialect: whole conversations, recorded as if nothing stood between.

The scripted server's own log says what the provider was asked in; the agent's own end says that it understood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from drawbar import Limits
from drawbar.rollout.harnesses import harness_factory, load_harness
from drawbar.testing import calls, says, together
from drawbar.testing.agents import as_offered

DeskAt = Callable[..., AbstractAsyncContextManager[Any]]
ASKED_AT = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "/v1/models/scripted:streamGenerateContent",
}
PAIRS = [
    ("claude_code", "chat"), ("codex", "chat"), ("gemini_cli", "chat"), ("opencode", "messages"), ("pi", "messages"),
    ("opencode", "responses"), ("pi", "responses"), ("codex", "messages"), ("gemini_cli", "messages"),
    ("claude_code", "responses"), ("claude_code", "gemini"),
]  # fmt: skip
LINES = [
    {**calls("weather", town="Ghent"), "content": "Let me look."},
    together(("weather", {"town": "Bath"}), ("weather", {"town": "Bruges"})),
    says("It rains everywhere."),
]


def script(body: Mapping[str, Any]) -> dict[str, Any]:
    """The line of this turn, by the names that the agent gives to the tools."""
    spoken = sum(message.get("role") == "assistant" for message in body["messages"])
    return as_offered(LINES[spoken], body.get("tools") or ())


def pair(agent: str, spoken: str) -> Any:
    there = harness_factory(agent).install.installed
    reason = f"not installed: drawbar harness install {agent}"
    return pytest.param(
        agent, spoken, id=f"{agent}-{spoken}", marks=[pytest.mark.slow, pytest.mark.skipif(not there, reason=reason)]
    )


@pytest.mark.parametrize(("agent", "spoken"), [pair(*it) for it in PAIRS])
async def test_an_agent_plays_through_a_provider_of_another_dialect(agent: str, spoken: str, desk_at: DeskAt) -> None:
    async with desk_at(script, speaks=[spoken]) as desk:
        assignment = await desk.assignment(limits=Limits(seconds=120))
        outcome = await load_harness(agent).run(assignment)
        trajectory = await desk.ended(assignment, outcome)
    assert (outcome.stop, outcome.error) == ("completed", None), outcome.output
    assert {request.path for request in desk.server.requests} == {ASKED_AT[spoken]}
    assert trajectory.turns == len(desk.server.requests) == len(LINES)
    assert trajectory.completion == "It rains everywhere."
    used = [use.id for call in trajectory.calls if call.message is not None for use in call.message.tool_uses]
    assert sorted(call.tool_use_id or "" for call in trajectory.tool_calls) == sorted(used)
    assert {call.seen for call in trajectory.tool_calls} <= {"same", "wrapped"}
    assert sorted(call.arguments["town"] for call in trajectory.tool_calls) == ["Bath", "Bruges", "Ghent"]
    assert {finding.name for finding in trajectory.health} <= {"lossy_translation"}
    assert all(call.prompt_tokens and call.completion_tokens for call in trajectory.calls)


@pytest.mark.parametrize(("agent", "spoken"), [pair("opencode", "chat"), pair("cline", "chat")])
async def test_an_agent_that_knows_of_conflicts_stops_when_its_session_has(
    agent: str, spoken: str, desk_at: DeskAt
) -> None:
    def calls_again(body: Mapping[str, Any]) -> Any:
        return as_offered(LINES[0], body["tools"])

    async with desk_at(calls_again, speaks=[spoken]) as desk:
        assignment = await desk.assignment(limits=Limits(turns=1, seconds=120))
        outcome = await load_harness(agent).run(assignment)
        trajectory = await desk.ended(assignment, outcome)
    assert (outcome.stop, trajectory.stop, trajectory.turns) == ("agent_failed", "limit_turns", 1)
