"""An agent that knows nothing of drawbar serves its customers through it, and nothing that they did is lost, doubled or
mixed up, whatever fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import anyio.to_thread
import pytest
from tests.shop.plan import customers
from tests.shop.truth import Truth

from drawbar.record.filter import where
from drawbar.record.store import Store

if TYPE_CHECKING:
    import subprocess

    from tests.shop.conftest import Works

AGENTS = 2


async def until_lines(works: Works, name: str, count: int, running: Sequence[subprocess.Popen[str]]) -> None:
    """Wait until a log has so many lines, or the agents have gone home."""
    await works.until(lambda: works.lines(name) >= count or all(process.poll() is not None for process in running))


async def served(works: Works, count: int, at_once: int, kills: int, *, leaving: bool = True) -> None:
    """Serve so many customers, while the gateway is killed so often, and wait until every session is scored."""
    await works.serve("--idle", "60")
    plan, chance = customers(count, seed=count, leaving=leaving), Random(count)
    agents = [works.hire(n, plan[n::AGENTS], at_once) for n in range(AGENTS)]
    for _ in range(kills):
        seen = works.lines("model.jsonl")
        await until_lines(works, "model.jsonl", seen + chance.randrange(count // 2, count), agents)
        await works.kill()
        await works.serve("--idle", "60")
    for agent in agents:
        await anyio.to_thread.run_sync(agent.communicate)
        assert agent.returncode == 0, works.errors[-3000:]
    await works.stop()
    await works.serve("--idle", "0.5")
    await works.until(partial(quiet, works))
    await works.stop()


def quiet(works: Works) -> bool:
    """Whether every session is over, and scored if it is to be."""
    store = Store.open(works.store)
    try:
        is_open = store.count(where("status = open and turns > 0"))
        return not is_open and not store.due({"shop_support"}, time.time() + 1000, 1)
    finally:
        store.close()


async def test_twenty_customers_are_served_and_each_is_one_session(works: Works) -> None:
    await served(works, 20, 4, kills=1, leaving=False)
    truth = Truth(works, AGENTS)
    truth.check_turns()
    truth.check_sessions()
    truth.check_tools()


@pytest.mark.slow
@pytest.mark.parametrize("works", [7], indirect=True)
async def test_of_three_hundred_customers_nothing_is_lost_doubled_or_mixed_up(works: Works) -> None:
    await served(works, 300, 8, kills=6)
    truth = Truth(works, AGENTS)
    truth.check_turns()
    truth.check_sessions()
    truth.check_tools()
