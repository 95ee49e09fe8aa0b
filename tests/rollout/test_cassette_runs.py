"""Whole runs: recorded once, replayed without a tool server, with the same agent and with another."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mcp.server import MCPServer

from drawbar.environment import Environment
from drawbar.loading import load_environment
from drawbar.rollout.engine import run
from drawbar.rollout.harnesses import load_harness
from drawbar.rollout.plan import Plan
from drawbar.rollout.report import Report
from drawbar.server import PythonServer
from drawbar.task import Task
from drawbar.testing import calls, says
from drawbar.tools.cassettes.environments import recorded_to, replayed_from
from drawbar.tools.cassettes.settings import MODES, Mode
from drawbar.trajectory import Trajectory

if TYPE_CHECKING:
    from tests.rollout.conftest import Reach

WIKI = Path(__file__).parents[2] / "servers" / "wiki_search"
RUNS_ALONE: tuple[Mode, ...] = ("strict", "fifo", "by-arguments", "nearest")


async def roll_out(reach: Reach, environment: Environment, model: str, **settings: Any) -> Report:
    async with reach(environment) as access:
        plan = Plan(environment=environment, harness=load_harness("loop"), model=model, retries=0, **settings)
        return await run(plan, access)


class Shop:
    """Every session has its own. It remembers who wrote to a customer."""

    made = 0
    mails = 0

    def server(self) -> MCPServer[Any]:
        Shop.made += 1
        refunded: set[int] = set()
        server: MCPServer[Any] = MCPServer("shop", subscriptions=False, log_level="WARNING")

        async def get_order(order: int) -> str:
            return f"order {order}: {'refunded' if order in refunded else 'paid'}"

        async def refund(order: int, reason: str) -> str:
            refunded.add(order)
            return f"refunded {order}"

        async def send_mail(order: int) -> str:
            Shop.mails += 1
            return "sent"

        for tool in (get_order, refund, send_mail):
            server.add_tool(tool, structured_output=False)
        return server


def support(reason: str) -> Any:
    """A scripted agent: looks, refunds for that reason, looks again, writes, and says what it saw."""

    async def model(messages: Sequence[Mapping[str, Any]], tools: Any, task: Task | None) -> Mapping[str, Any]:
        assert task is not None
        order = task.info["order"]
        seen = [message["content"] for message in messages if message["role"] == "tool"]
        steps = [
            calls("get_order", order=order),
            calls("refund", order=order, reason=reason),
            calls("get_order", order=order),
            calls("send_mail", order=order),
        ]
        return steps[len(seen)] if len(seen) < len(steps) else says(str(seen[2]))

    return model


def refunded(completion: str, answer: str) -> bool:
    return completion == answer


def shop() -> Environment:
    return Environment(
        name="shop",
        servers={"shop": PythonServer(server=Shop().server, scope="session")},
        tasks=[
            Task(key=f"o{n}", prompt=f"Refund order {n}.", info={"order": n}, answer=f"order {n}: refunded")
            for n in range(8)
        ],
        rubric=[refunded],
        models={"agent": support("broken"), "changed": support("the customer said that it came too late")},
    )


async def recorded(reach: Reach, path: Path) -> Environment:
    """The shop, once its agent has been recorded."""
    environment = shop()
    report = await roll_out(reach, recorded_to(environment, path), "agent")
    assert report.reward is not None
    assert (report.reward.mean, report.cassettes) == (1.0, [])
    return environment


@pytest.mark.parametrize("mode", RUNS_ALONE)
async def test_the_same_agent_gets_the_same_rewards_and_no_mail_is_sent(
    reach: Reach, tmp_path: Path, mode: Mode
) -> None:
    environment = await recorded(reach, tmp_path / "shop.jsonl")
    before = Shop.made, Shop.mails
    report = await roll_out(reach, replayed_from(environment, tmp_path / "shop.jsonl", mode), "agent")
    assert report.reward is not None
    assert (report.reward.mean, report.valid) == (1.0, 8)
    (drift,) = report.cassettes
    assert [drift[name] for name in ("hits", "stale", "near", "misses", "unused")] == [32, 0, 0, 0, 0]
    assert (Shop.made, Shop.mails) == before


async def test_a_changed_agent_is_invalid_and_the_report_names_the_calls_that_changed(
    reach: Reach, tmp_path: Path, read: Any
) -> None:
    environment = await recorded(reach, tmp_path / "shop.jsonl")
    report = await roll_out(reach, replayed_from(environment, tmp_path / "shop.jsonl"), "changed", tasks=2)
    assert report.errors == {"cassette_missed": 2}
    assert (report.valid, report.reward) == (0, None)
    (drift,) = report.cassettes
    assert drift["misses"] == 2
    assert [(call["tool"], call["arguments"]["reason"]) for call in drift["missed"]] == [
        ("refund", "the customer said that it came too late")
    ] * 2
    assert "refund" in report.examples["cassette_missed"]
    assert drift["tools"]["refund"]["unused"] == 8
    store = read()
    try:
        (session, *_) = store.trajectories(run=report.run.id)
    finally:
        store.close()
    assert isinstance(session, Trajectory)
    (kept,) = session.metadata["cassettes"]
    assert [call["tool"] for call in kept["not_used"]] == ["refund"]


async def test_misses_up_to_the_limit_leave_a_rollout_valid(reach: Reach, tmp_path: Path) -> None:
    environment = await recorded(reach, tmp_path / "shop.jsonl")
    replayed = replayed_from(environment, tmp_path / "shop.jsonl")
    server = replayed.servers["shop"]
    lenient = replace(server, cassette=replace(server.cassette, max_misses=1))  # type: ignore[type-var]
    report = await roll_out(reach, replace(replayed, servers={"shop": lenient}), "changed")
    assert (report.valid, report.invalid, report.cassettes[0]["misses"]) == (8, 0, 8)


async def test_the_nearest_recording_answers_a_changed_agent_and_is_named(reach: Reach, tmp_path: Path) -> None:
    environment = await recorded(reach, tmp_path / "shop.jsonl")
    replayed = replayed_from(environment, tmp_path / "shop.jsonl", "nearest")
    server = replayed.servers["shop"]
    near = replace(server, cassette=replace(server.cassette, threshold=0.5))  # type: ignore[type-var]
    report = await roll_out(reach, replace(replayed, servers={"shop": near}), "changed")
    assert report.reward is not None
    assert (report.reward.mean, report.valid) == (1.0, 8)
    (drift,) = report.cassettes
    assert (drift["near"], drift["misses"]) == (8, 0)
    assert drift["nearly"][0]["tool"] == "refund"


async def test_wiki_search_recorded_once_gives_the_same_rewards_without_its_index(
    reach: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    wiki, path = load_environment(str(WIKI)), tmp_path / "wiki.jsonl"
    live = await roll_out(reach, recorded_to(wiki, path), "baseline", tasks=12)
    alone = replayed_from(wiki, path)
    assert alone.tools == ()
    for mode in RUNS_ALONE:
        replayed = await roll_out(reach, replayed_from(wiki, path, mode), "baseline", tasks=12)
        assert replayed.reward == live.reward
        assert (replayed.rewards, replayed.metrics) == (live.rewards, live.metrics)
        (drift,) = replayed.cassettes
        assert (drift["misses"], drift["near"], drift["unused"]) == (0, 0, 0)
    assert set(RUNS_ALONE) | {"fall-through"} == set(MODES)
