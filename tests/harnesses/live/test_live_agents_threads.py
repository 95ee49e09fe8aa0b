"""Sub-agents and compactions of real agents: told apart, named, and joined to what started them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from drawbar.testing import calls, says, together
from drawbar.testing.agents import as_offered

if TYPE_CHECKING:
    from tests.harnesses.live.conftest import MakeAgent, SiteAt

TITLED = ("opencode",)
TASK = "Find out with the tool at hand which weather there is in the town of Ghent today."
STARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "claude_code": (
        "Agent",
        {"description": "Look", "prompt": TASK, "subagent_type": "general-purpose", "run_in_background": False},
    ),
    "claude_code as a fork": (
        "Agent",
        {"description": "Look", "prompt": TASK, "subagent_type": "fork", "run_in_background": False},
    ),
    "codex": ("spawn_agent", {"message": TASK}),
    "opencode": ("task", {"description": "Look", "prompt": TASK, "subagent_type": "general"}),
}
OPTIONS: dict[str, dict[str, Any]] = {"claude_code": {"tools": ["Agent"]}, "codex": {"features": {"multi_agent": True}}}

pytestmark = pytest.mark.slow


class Company:
    """A model that starts sub-agents and plays them too."""

    def __init__(self, way: str, count: int) -> None:
        self._start = together(*[STARTS[way]] * count)
        self._waits = way == "codex"
        self.looked = 0

    def __call__(self, body: dict[str, Any]) -> Any:
        messages = body["messages"]
        if not body.get("tools"):
            return says("Rain")
        told = "".join(json.dumps(message) for message in messages if message["role"] == "user")
        play = self._sub_agent if TASK in told else self._main
        return as_offered(play(messages), body["tools"])

    def _sub_agent(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        if any("It rains in Ghent" in json.dumps(message) for message in messages if message["role"] == "tool"):
            return says("It does rain, a sub-agent says.")
        self.looked += 1
        return calls("weather", id=f"look_{self.looked}", town="Ghent")

    def _main(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        spoken = sum(message["role"] == "assistant" for message in messages)
        if spoken == 0:
            return self._start
        if self._waits and spoken == 1:
            agents = re.findall(r"agent_id\W+([0-9a-f-]{36})", json.dumps(messages))
            return calls("wait_agent", id="wait", targets=agents, timeout_ms=60_000)
        return says("All of them say that it rains.")


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("way", STARTS)
async def test_a_sub_agent_is_a_thread_of_its_own(way: str, count: int, site_at: SiteAt, agent_at: MakeAgent) -> None:
    """Two that begin alike are two threads."""
    name = way.split()[0]
    async with site_at(Company(way, count)) as site:
        ran = await agent_at(name, **OPTIONS.get(name, {})).run(site, "Is it raining in Ghent?")
        record = await site.record()
    assert ran.status == 0, ran.said
    assert sorted(record.asked) == sorted(site.asked)
    main, *others = record.trajectory.threads
    agents = [thread for thread in others if thread.kind == "sub_agent"]
    assert [thread.name for thread in agents] == [f"sub-agent {n + 1}" for n in range(count)]
    assert len(others) == count + (name in TITLED)
    first = main.calls[0].message
    assert first is not None
    assert {thread.tool_use_id for thread in agents} == {use.id for use in first.tool_uses}
    for thread in agents:
        assert thread.parent == "main"
        assert [call.edge for call in thread.calls][1:] == ["exact"]
        assert thread.calls[1].follows == thread.calls[0].id
        if count > 1 and name != "claude_code":  # whose results do not name their threads
            assert str(thread.calls[0].thread) in _results(record)[str(thread.tool_use_id)]
    assert record.said[-1] == "All of them say that it rains."
    assert [text for text, _ in record.tools] == ["It rains in Ghent."] * count
    assert not record.findings


def _results(record: Any) -> dict[str, str]:
    messages = (node.message for node in record.trajectory.nodes.values())
    return {result.tool_use_id: result.text for message in messages for result in message.tool_results}


async def long_weather(town: str) -> str:
    """The weather in a town, hour by hour."""
    hours = (f"It rains in {town} at {n} o'clock, as it did yesterday and the day before." for n in range(600))
    return "\n".join(hours)


long_weather.__name__ = "weather"
SUMMARY = "The user asked about rain.\nIt was found that it rains in Ghent at all hours of the day.\nNothing is left."
SMALL: dict[str, dict[str, Any]] = {
    "codex": {"model_auto_compact_token_limit": 6000},
    "opencode": {"limit": {"context": 14_000, "output": 2000}},
}


class Memory:
    """A model that looks once, and sums up when it is asked to."""

    def __init__(self) -> None:
        self.answers = 0

    def __call__(self, body: dict[str, Any]) -> Any:
        last = str(body["messages"][-1].get("content")).lower()
        if "title for this conversation" in json.dumps(body["messages"]).lower():
            return says("Rain")
        if re.search("respond with text only|checkpoint compaction|context was compacted", last):
            return says(f"<summary>{SUMMARY}</summary>" if "<summary>" in last else SUMMARY)
        self.answers += 1
        if self.answers == 1:
            return as_offered(calls("weather", town="Ghent"), body["tools"])
        return says(f"Answer {self.answers}: it rains.")


@pytest.mark.parametrize("name", ["claude_code", *SMALL])
async def test_a_compaction_is_named_and_the_conversation_goes_on(
    name: str, site_at: SiteAt, agent_at: MakeAgent
) -> None:
    prompts = ["Is it raining in Ghent?", "And tomorrow?", "And then?"]
    if name == "claude_code":
        prompts.insert(1, "/compact")
    async with site_at(Memory(), tools=[long_weather]) as site:
        agent = agent_at(name, **SMALL.get(name, {}))
        runs = [await agent.run(site, prompt, again=at > 0) for at, prompt in enumerate(prompts)]
        record = await site.record()
    assert [ran.status for ran in runs] == [0] * len(prompts), runs[0].said
    assert record.asked == site.asked
    (compaction,) = (thread for thread in record.trajectory.threads if thread.kind == "compaction")
    assert (compaction.name, compaction.parent, len(compaction.calls)) == ("compaction 1", "main", 1)
    assert compaction.calls[0].message is not None
    assert SUMMARY in compaction.calls[0].message.text
    aside = {0} if name in TITLED else set()
    everything = {call.seq for call in record.trajectory.calls}
    assert set(record.threads["main"]) == everything - {compaction.calls[0].seq} - aside
    assert record.said[-1].startswith("Answer ")
    assert SUMMARY in "".join(message.text for message in record.trajectory.messages)
    assert "And then?" in record.trajectory.messages[-2].text
    assert record.findings <= {"truncated_tool_result"}
