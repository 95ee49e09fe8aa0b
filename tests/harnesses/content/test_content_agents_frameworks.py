"""Agents of Python frameworks as their users run them, without a session's key."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import pytest

from drawbar import Trajectory
from drawbar.testing import Failure, calls, says, together

if TYPE_CHECKING:
    from tests.harnesses.content.conftest import House, Worked

pytestmark = pytest.mark.slow
THINKS = {**calls("weather", town="Ghent"), "content": "Let me look.", "reasoning_content": "Ghent comes first."}
LOOK = {**calls("weather", town="Ghent"), "content": "Let me look."}
BOTH = together(("weather", {"town": "Bath"}), ("weather", {"town": "Bruges"}))
DONE = says("It rains everywhere.")
AGENTS = [
    ("openai_agents", "chat"), ("openai_agents", "responses"), ("langgraph", "chat"), ("langgraph", "messages"),
    ("langgraph", "responses"), ("pydantic_ai", "chat"), ("pydantic_ai", "messages"), ("pydantic_ai", "gemini"),
    ("strands", "chat"), ("strands", "messages"), ("strands", "gemini"), ("smolagents", "chat"), ("google_adk", "chat"),
]  # fmt: skip
EDGES = {
    **{(name, "chat"): ["without_reasoning", "exact"] for name in ("openai_agents", "langgraph", "strands")},
    **{(name, "messages"): ["without_reasoning", "exact"] for name in ("pydantic_ai", "strands")},
    ("smolagents", "chat"): ["rewritten", "rewritten"],
}
"""Where it is not exact: what they say of their model's replies. Thoughts of Anthropic's are sent back where they are
signed, as these are not."""
FOUND = {"without_reasoning": "lost_reasoning", "rewritten": "rewritten_history"}


def tree(trajectory: Trajectory) -> list[tuple[str, int | None, str | None]]:
    """Of each call: how it ended, the position of the one that it follows, and the edge."""
    at = {call.id: number for number, call in enumerate(trajectory.calls)}
    return [(call.status, at.get(call.follows or ""), call.edge) for call in trajectory.calls]


@pytest.mark.parametrize(
    ("name", "dialect", "edges"),
    [(*agent, EDGES.get(agent, ["exact", "exact"])) for agent in AGENTS],
)
async def test_one_run_of_a_program_is_one_session(
    house: House, worked: Worked, name: str, dialect: str, edges: list[str]
) -> None:
    house.model.lines = [THINKS, BOTH, DONE]
    outcome = await worked(name, dialect)
    assert outcome.stop == "completed", outcome
    trajectory = await house.session()
    assert tree(trajectory) == [("answered", None, None), ("answered", 0, edges[0]), ("answered", 1, edges[1])]
    assert [thread.name for thread in trajectory.threads] == ["main"]
    assert trajectory.completion == "It rains everywhere."
    found = {finding.name for finding in trajectory.health}
    assert found == {FOUND[edge] for edge in edges if edge != "exact"}


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize(
    ("name", "dialect"),
    [("openai_agents", "chat"), ("langgraph", "messages"), ("pydantic_ai", "chat"), ("strands", "chat")],
)
async def test_what_a_clients_library_asks_again_is_one_turn(
    house: House, worked: Worked, name: str, dialect: str, status: int
) -> None:
    house.model.lines = [LOOK, Failure(status), BOTH, DONE]
    outcome = await worked(name, dialect)
    assert outcome.stop == "completed", outcome
    assert {request.headers.get("x-stainless-retry-count") for request in house.server.requests} == {"0", "1"}
    assert tree(await house.session()) == [
        ("answered", None, None), ("failed", 0, "exact"), ("answered", 0, "exact"), ("answered", 2, "exact"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["strands"])
async def test_a_program_whose_library_asks_only_once_ends_with_the_refusal(
    house: House, worked: Worked, name: str
) -> None:
    house.model.lines = [LOOK, Failure(500), BOTH, DONE]
    assert (await worked(name, "gemini")).stop == "agent_failed"
    assert [status for status, _, _ in tree(await house.session())] == ["answered", "failed"]


@pytest.mark.parametrize(
    ("name", "dialect", "alike"),
    [(*agent, alike) for agent in AGENTS for alike in (False, True) if not alike or agent[1] == "chat"],
)
async def test_runs_that_begin_alike_at_the_same_time_are_never_mixed(
    house: House, worked: Worked, name: str, dialect: str, alike: bool
) -> None:
    """Even their replies are alike, but for the ids of tool calls, where models make such."""
    script = [LOOK, BOTH, DONE]
    house.model.aside = lambda body: script[sum(message["role"] == "assistant" for message in body["messages"])]
    house.model.same_ids = alike
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(worked, name, dialect)
    sessions = await house.sessions()
    assert [[follows for _, follows, _ in tree(session)] for session in sessions] == [[None, 0, 1]] * 2
    for session in sessions:
        assert sorted(call.arguments["town"] for call in session.tool_calls) == ["Bath", "Bruges", "Ghent"]
        for call, later in pairwise(session.calls):
            assert call.message is not None
            sent = b"".join(node.body for node in session.path(later.request)).decode()
            assert all(use.id in sent for use in call.message.tool_uses)
