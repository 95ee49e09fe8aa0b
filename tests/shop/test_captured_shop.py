"""What was recorded in front of the shop becomes an environment: the same agent does the same in it, of another one it
is told where it went another way, and the shop is never asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.shop.at_work import AGENTS, served
from tests.shop.conftest import SHOP
from tests.shop.truth import LOST, Truth

from drawbar.record.store import Store
from drawbar.wire.message import ToolResult

if TYPE_CHECKING:
    from tests.shop.conftest import Works

    from drawbar import Trajectory

RUBRIC = """
from drawbar.loading import load_environment

rubric = load_environment({environment!r}).scoring
"""
AGENT = "{python} {program} --tools {{mcp_url}} --messages {{messages_file}} --customer {{user_url}}"


async def captured(works: Works, *flags: str) -> dict[str, Any]:
    """Capture everything, and score it as the live sessions were: what `drawbar capture` told."""
    folder = works.folder / "captured"
    told = await works.told("capture", "captured_shop", "-o", str(folder), "--where", "turns > 0", *flags)
    (folder / "rubric.py").write_text(RUBRIC.format(environment=str(SHOP / "environment.py")))
    return dict(told)


async def replayed(works: Works, model: str, *flags: str, changed: bool = False) -> dict[str, Any]:
    """A run of the same agent in what was captured: its report."""
    command = AGENT.format(python=sys.executable, program=SHOP / "agent.py")
    harness = ("--harness", "command", "--harness-option", f"command={command}", "--concurrency", "4")
    folder = str(works.folder / "captured")
    model_flags = ("--model", "support", "--base-url", model, *flags)
    return dict(await works.told("run", folder, *harness, *model_flags, may_fail=changed))


def rewards_of(works: Works, run: str) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """By the sessions that tasks came from: their rewards, and those of the run. Sessions that used no tool have none;
    one that lost a call to a killed gateway knows of it only what its agent said."""
    store = Store.open(works.store)
    try:
        rollouts = [store.trajectory(row.id) for row in store.sessions(run=run)]
        sources = [str(rollout.task.info["session"]) for rollout in rollouts if rollout.task is not None]
        pairs = [(store.trajectory(source), rollout) for source, rollout in zip(sources, rollouts, strict=True)]
        whole = [pair for pair in pairs if pair[0].environment is not None and not lost_calls(pair[0])]
        return {a.id: a.reward for a, _ in whole}, {a.id: b.reward for a, b in whole}
    finally:
        store.close()


def lost_calls(session: Trajectory) -> bool:
    """Whether an agent told its model that a call had failed, which may have been in no record."""
    results = (block.text for m in session.messages for block in m.blocks if isinstance(block, ToolResult))
    return any(text.startswith(LOST) for text in results)


def drift(report: dict[str, Any]) -> dict[str, Any]:
    (one,) = report["cassettes"]
    return dict(one)


async def check(works: Works, tasks: int, *flags: str) -> None:
    told = await captured(works, "--near", "0", *flags)
    assert told["tasks"] == tasks, told
    works.close_shop()
    sent = works.lines("outbox.jsonl")
    assert sent > 0

    same = await replayed(works, works.model())
    assert (same["valid"], same["invalid"]) == (tasks, 0), same
    assert (drift(same)["misses"], drift(same)["stale"], drift(same)["near"]) == (0, 0, 0)
    assert drift(same)["hits"] > tasks
    live, again = rewards_of(works, same["run"])
    assert again == live
    assert len(live) > tasks // 2

    other = await replayed(works, works.model("--newer"), changed=True)
    assert other["errors"].keys() == {"cassette_missed"}
    missed = drift(other)["missed"]
    halved = [call["arguments"]["amount"] for call in missed if call["tool"] == "refund_order"]
    assert halved
    assert {call["tool"] for call in drift(other)["unknown"]} == {"send_letter"}
    strict = await replayed(works, works.model("--newer"), "--cassette-mode", "strict", changed=True)
    reordered = {call["tool"] for call in drift(strict)["missed"]}
    assert reordered >= {"refund_order", "track_parcel"}
    assert works.lines("outbox.jsonl") == sent


@pytest.mark.slow
async def test_a_captured_shop_gives_the_same_agent_the_same_and_sends_no_email(works: Works) -> None:
    await served(works, 6, 3, kills=0, calm=True)
    await check(works, 6)


@pytest.mark.slow
@pytest.mark.parametrize("works", [11], indirect=True)
async def test_a_shop_captured_from_a_bad_day_replays_without_a_miss(works: Works) -> None:
    await served(works, 60, 6, kills=2)
    sessions = Truth(works, AGENTS).sessions
    good = [s for s in sessions if s.reward is not None and all(f.severity != "defect" for f in s.health)]
    assert len(good) > 30
    await check(works, 30, "--sample", "30")
