"""Agents that name no session: streams that break off, and work that goes on in a new process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from drawbar import Trajectory
from drawbar.testing import Cut, calls, says, together

if TYPE_CHECKING:
    from tests.harnesses.content.conftest import House, User

pytestmark = pytest.mark.slow
LOOK = {**calls("weather", town="Ghent"), "content": "Let me look.", "reasoning_content": "Ghent comes first."}
BOTH = together(("weather", {"town": "Bath"}), ("weather", {"town": "Bruges"}))
DONE = says("It rains everywhere.")
PROMPT = "Is it raining in Ghent, Bath and Bruges?"
TORN = Cut({**BOTH, "content": "Now the others then."}, after=6)
"""Breaks off in its first tool call, where the dialect is chat or messages."""


def tree(trajectory: Trajectory) -> list[tuple[str, int | None, str | None]]:
    """Of each call: how it ended, the position of the one that it follows, and the edge."""
    at = {call.id: number for number, call in enumerate(trajectory.calls)}
    return [(call.status, at.get(call.follows or ""), call.edge) for call in trajectory.calls]


ASKED_AGAIN = [("answered", None, None), ("failed", 0, "exact"), ("answered", 0, "exact"), ("answered", 2, "exact")]
JOINED = [("answered", None, None), ("failed", 0, "exact"), ("answered", 0, "exact"), ("answered", 2, "rewritten")]
RESUMED = [("answered", None, None), ("failed", 0, "exact"), ("answered", 1, "rewritten"), ("answered", 2, "rewritten")]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("copilot", ASKED_AGAIN), (("copilot", {"wire": "messages"}), ASKED_AGAIN),
        ("pi", ASKED_AGAIN), (("pi", {"api": "anthropic-messages"}), ASKED_AGAIN),
        ("cline", JOINED),  # which puts both replies into one message, if it had read of the first before it broke off
        ("qwen_code", RESUMED),  # which has its model go on, and then joins what it had to what came
    ],
    indirect=["user"],
)  # fmt: skip
async def test_a_stream_that_breaks_off_ends_in_the_tree_of_the_conversation_as_its_agent_saw_it(
    house: House, user: User, expected: list[Any]
) -> None:
    house.model.lines = [{**LOOK, "reasoning_content": ""}, TORN, BOTH, DONE]
    ran = await user.ask(PROMPT)
    assert ran.status == 0, ran
    trajectory = await house.session()
    found = tree(trajectory)
    assert found[:3] == expected[:3]
    merged = {("answered", 2, "exact"), ("answered", 2, "rewritten")} if expected is JOINED else {expected[3]}
    assert found[3] in merged
    assert [thread.name for thread in trajectory.threads] == ["main"]
    assert trajectory.calls[1].message is not None
    assert trajectory.calls[1].message.text == "Now the others then."
    assert trajectory.completion == "It rains everywhere."
    assert sorted(house.towns) == ["Bath", "Bruges", "Ghent"]


@pytest.mark.parametrize("user", ["gemini_cli"], indirect=True)
async def test_a_stream_that_breaks_off_is_the_end_of_an_agent_that_makes_nothing_of_it(
    house: House, user: User
) -> None:
    house.model.lines = [LOOK, Cut({**BOTH, "content": "Now the others then."}, after=1), BOTH, DONE]
    assert (await user.ask(PROMPT)).status != 0
    trajectory = await house.session()
    assert [status for status, _, _ in tree(trajectory)] == ["answered", "failed"]
    assert trajectory.completion == "Now the others then."
    assert "truncated_stream" in {finding.name for finding in trajectory.health}


@pytest.mark.parametrize("restart", [False, True], ids=["same gateway", "restarted gateway"])
@pytest.mark.parametrize(
    ("user", "first", "resumed"),
    [
        ("gemini_cli", "without_reasoning", "rewritten"),  # which sends the first result twice
        ("qwen_code", "exact", "rewritten"),  # which renders its first reminder anew
        ("copilot", "exact", "without_reasoning"),
        (("copilot", {"wire": "responses"}), "exact", "without_reasoning"),
        ("pi", "exact", "exact"),
        (("pi", {"api": "openai-responses"}), "exact", "exact"),
    ],
    indirect=["user"],
)
async def test_work_that_goes_on_in_a_new_process_is_the_same_session(
    house: House, user: User, first: str, resumed: str, restart: bool
) -> None:
    yes = says("It rains in Ghent.", reasoning_content="So it does.")
    house.model.lines = [LOOK, yes, {**BOTH, "reasoning_content": "The others."}, DONE]
    ran = await user.ask(PROMPT)
    assert ran.status == 0, ran
    if restart:
        await house.restart()
    ran = await user.ask("And in the other towns?", again=True)
    assert ran.status == 0, ran
    trajectory = await house.session()
    assert tree(trajectory) == [
        ("answered", None, None), ("answered", 0, first), ("answered", 1, resumed), ("answered", 2, first),
    ]  # fmt: skip
    assert [(thread.name, len(thread.calls)) for thread in trajectory.threads] == [("main", 4)]
    assert trajectory.completion == "It rains everywhere."
    found = {finding.name for finding in trajectory.health} - {"lost_reasoning"}
    assert found == ({"rewritten_history"} if resumed == "rewritten" else set())
