"""Agents in a new process go on in the session that they left, also after the gateway was started anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from drawbar.testing import calls, says

if TYPE_CHECKING:
    from tests.harnesses.live.conftest import MakeAgent, SiteAt

AGENTS = ("claude_code", "codex", "opencode")
TITLED = ("opencode",)

pytestmark = pytest.mark.slow


def look(town: str) -> dict[str, Any]:
    return {**calls("weather", id=f"look_{town}", town=town), "content": f"To {town}."}


@pytest.mark.parametrize("name", AGENTS)
async def test_a_conversation_goes_on_in_a_new_process_and_a_new_gateway(
    name: str, site_at: SiteAt, agent_at: MakeAgent
) -> None:
    agent = agent_at(name)
    runs, asked = [], []
    async with site_at([look("Ghent"), says("It rains."), look("Bath"), says("It rains there too.")]) as site:
        runs += [await agent.run(site, "Is it raining in Ghent?")]
        runs += [await agent.run(site, "And in Bath?", again=True)]
        asked += site.asked
        (before,) = await site.records()
    async with site_at([look("Bruges"), says("It rains everywhere.")]) as site:
        runs += [await agent.run(site, "And in Bruges?", again=True)]
        asked += site.asked
        record = await site.record()
    assert [ran.status for ran in runs] == [0, 0, 0], runs[-1].said
    title = int(name in TITLED)
    assert record.trajectory.id == before.trajectory.id
    assert record.asked == asked
    assert record.tree[title:] == [("answered", None, None), *(("answered", title + n, "exact") for n in range(5))]
    assert record.threads["main"] == list(range(title, title + 6))
    assert record.said == [
        "To Ghent.[Ghent]", "It rains.", "To Bath.[Bath]", "It rains there too.", "To Bruges.[Bruges]",
        "It rains everywhere.",
    ]  # fmt: skip
    assert [text for text, _ in record.tools] == [f"It rains in {town}." for town in ("Ghent", "Bath", "Bruges")]
    assert not record.findings
    assert record.trajectory.environment == "weather"
