"""Agents that name no session: one piece of work is one session, whatever fails on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from drawbar import Trajectory
from drawbar.testing import Failure, calls, says, together

if TYPE_CHECKING:
    from tests.harnesses.content.conftest import House, User

pytestmark = pytest.mark.slow
LOOK = {**calls("weather", town="Ghent"), "content": "Let me look."}
BOTH = together(("weather", {"town": "Bath"}), ("weather", {"town": "Bruges"}))
DONE = says("It rains everywhere.")
PROMPT = "Is it raining in Ghent, Bath and Bruges?"
AGENTS: list[Any] = [
    "gemini_cli", "qwen_code", "cline",
    "copilot", ("copilot", {"wire": "responses"}), ("copilot", {"wire": "messages"}),
    "pi", ("pi", {"api": "openai-responses"}), ("pi", {"api": "anthropic-messages"}),
]  # fmt: skip
each = pytest.mark.parametrize("user", AGENTS, indirect=True)


def tree(trajectory: Trajectory) -> list[tuple[str, int | None, str | None]]:
    """Of each call: how it ended, the position of the one that it follows, and the edge."""
    at = {call.id: number for number, call in enumerate(trajectory.calls)}
    return [(call.status, at.get(call.follows or ""), call.edge) for call in trajectory.calls]


@each
async def test_one_piece_of_work_is_one_session_with_all_of_its_calls(house: House, user: User) -> None:
    house.model.lines = [LOOK, BOTH, DONE]
    ran = await user.ask(PROMPT)
    assert ran.status == 0, ran
    trajectory = await house.session()
    assert tree(trajectory) == [("answered", None, None), ("answered", 0, "exact"), ("answered", 1, "exact")]
    assert [thread.name for thread in trajectory.threads] == ["main"]
    assert trajectory.completion == "It rains everywhere."
    assert sorted(house.towns) == ["Bath", "Bruges", "Ghent"]
    assert {call.seen for call in trajectory.tool_calls} <= {"same", "wrapped"}
    assert not trajectory.health


@pytest.mark.parametrize("status", [429, 500])
@each
async def test_a_refusal_is_a_call_beside_the_turn_that_it_delayed(house: House, user: User, status: int) -> None:
    house.model.lines = [LOOK, Failure(status), BOTH, DONE]
    ran = await user.ask(PROMPT)
    assert ran.status == 0, ran
    trajectory = await house.session()
    assert tree(trajectory) == [
        ("answered", None, None), ("failed", 0, "exact"), ("answered", 0, "exact"), ("answered", 2, "exact"),
    ]  # fmt: skip
    assert [thread.name for thread in trajectory.threads] == ["main"]
    assert trajectory.completion == "It rains everywhere."
    assert {finding.name for finding in trajectory.health} == {"failed_call"}


@pytest.mark.parametrize("user", ["qwen_code", "pi"], indirect=True)
async def test_a_refusal_of_the_first_request_begins_no_other_session(house: House, user: User) -> None:
    house.model.lines = [Failure(500), LOOK, BOTH, DONE]
    ran = await user.ask(PROMPT)
    assert ran.status == 0, ran
    assert tree(await house.session())[:3] == [
        ("failed", None, None),
        ("answered", None, None),
        ("answered", 1, "exact"),
    ]
