"""An agent that knows nothing of drawbar serves its customers through it, and nothing that they did is lost, doubled or
mixed up, whatever fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.shop.at_work import AGENTS, check_scores, served
from tests.shop.truth import Truth

if TYPE_CHECKING:
    from tests.shop.conftest import Works


async def held_against_the_truth(works: Works, lost: int) -> Truth:
    """`lost`: how many answers may not have arrived."""
    truth = Truth(works, AGENTS)
    truth.check_turns()
    truth.check_sessions()
    truth.check_tools()
    assert len(truth.unheard()) <= lost
    await check_scores(works, truth, str(works.example / "environment.py"))
    return truth


async def test_twenty_customers_are_served_and_each_is_one_session(works: Works) -> None:
    await served(works, 20, 4, kills=1)
    await held_against_the_truth(works, AGENTS * 4)


@pytest.mark.slow
@pytest.mark.parametrize("works", [7], indirect=True)
async def test_of_three_hundred_customers_nothing_is_lost_doubled_or_mixed_up(works: Works) -> None:
    await served(works, 300, 8, kills=6)
    truth = await held_against_the_truth(works, 6 * AGENTS * 8 + 40)
    assert len(truth.conversations) == 300
    assert {line["fault"] for line in truth.model.values()} >= {None, "busy", "broken", "cut"}
    calls = [call for session in truth.sessions for call in session.tool_calls]
    assert {call.cause for call in calls} >= {None, "tool_timeout"}
    assert truth.astray <= len(calls) // 20
