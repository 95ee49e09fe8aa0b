"""Agents that changed nothing but their addresses: what they do is one session, whole and healthy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from drawbar.testing import calls, says, together
from drawbar.testing.agents import as_offered

if TYPE_CHECKING:
    from tests.harnesses.live.conftest import MakeAgent, SiteAt

AGENTS = ("claude_code", "codex", "opencode")
TITLED = ("opencode",)
"""They ask for a title first."""
SCRIPT = [
    {**calls("weather", town="Ghent"), "content": "Let me look."},
    together(("weather", {"town": "Bath"}), ("weather", {"town": "Bruges"})),
    says("It rains everywhere."),
]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("name", AGENTS)
async def test_a_run_is_one_session(name: str, keyed: bool, site_at: SiteAt, agent_at: MakeAgent) -> None:
    async with site_at(SCRIPT) as site:
        session = await site.open() if keyed else None
        ran = await agent_at(name).run(site, "Is it raining in Ghent, Bath & Bruges?", session=session)
        record = await site.record()
    assert ran.status == 0, ran.said
    title = int(name in TITLED)
    assert record.asked == site.asked
    assert record.tree == [
        *[("answered", None, None)] * (title + 1), ("answered", title, "exact"), ("answered", title + 1, "exact"),
    ]  # fmt: skip
    assert record.threads == {"main": [title, title + 1, title + 2], **({"side call 1": [0]} if title else {})}
    assert record.said == ["Let me look.[Ghent]", "[Bath][Bruges]", "It rains everywhere."]
    assert sorted(text for text, _ in record.tools) == [f"It rains in {town}." for town in ("Bath", "Bruges", "Ghent")]
    assert {seen for _, seen in record.tools} <= {"same", "wrapped"}
    assert not record.findings
    trajectory = record.trajectory
    found = (trajectory.origin, trajectory.harness, trajectory.environment)
    assert found == (("opened", None, "weather") if keyed else ("identity", name, "weather"))


@pytest.mark.parametrize("name", AGENTS)
async def test_two_that_begin_alike_are_two_sessions(name: str, site_at: SiteAt, agent_at: MakeAgent) -> None:
    def line(body: dict[str, Any]) -> Any:
        if not body.get("tools"):
            return says("Rain")
        spoken = sum(message["role"] == "assistant" for message in body["messages"])
        return as_offered(SCRIPT[0], body["tools"]) if spoken == 0 else says("It rains.")

    async with site_at(line) as site:
        agents = [agent_at(name, home) for home in ("one", "other")]
        for prompt, again in (("Is it raining in Ghent?", False), ("Are you sure?", True)):
            runs = await asyncio.gather(*(agent.run(site, prompt, again=again) for agent in agents))
            assert [ran.status for ran in runs] == [0, 0], runs[0].said
        records = await site.records()
    assert len(records) == 2
    for record in records:
        assert record.said == ["Let me look.[Ghent]", "It rains.", "It rains."]
        assert record.tools == [("It rains in Ghent.", record.tools[0][1])]
        assert not record.findings
    assert sorted(asked for record in records for asked in record.asked) == sorted(site.asked)
