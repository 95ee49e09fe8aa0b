"""Customers are served through the gateway, which is killed now and then; and what live scoring made of it."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import anyio.to_thread
from tests.shop.plan import customers

from drawbar.record.filter import where
from drawbar.record.store import Store

if TYPE_CHECKING:
    from tests.shop.conftest import Works
    from tests.shop.truth import Truth

AGENTS = 2


async def until_lines(works: Works, name: str, count: int, running: Sequence[subprocess.Popen[str]]) -> None:
    """Wait until a log has so many lines, or the agents have gone home."""
    await works.until(lambda: works.lines(name) >= count or all(process.poll() is not None for process in running))


async def served(works: Works, count: int, at_once: int, kills: int, *, calm: bool = False) -> None:
    """Serve so many customers, while the gateway is killed so often, and wait until every session is scored. `calm`:
    no two say the same, and none leaves early."""
    await works.serve("--idle", "60")
    plan, chance = customers(count, seed=count, leaving=not calm, alike=not calm), Random(count)
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


NAMES = {"looked_first", "told_the_customer", "answered", "refunds", "trouble"}
OFFLINE = """
from drawbar import Rubric, metric
from drawbar.loading import load_environment


@metric
def turns_taken(trajectory):
    return trajectory.turns


rubric = Rubric(*load_environment({environment!r}).scoring.scorers.values(), turns_taken)
"""


async def check_scores(works: Works, truth: Truth, environment: str) -> None:
    """Every session is scored once, and a second look finds the same."""
    worked = [session for session in truth.sessions if session.environment == "shop_support" and session.calls]
    for session in worked:
        assert Counter(score.name for score in session.scores) == Counter(NAMES), session.id
        assert {score.source for score in session.scores} == {"live"}
        assert session.reward is not None
    ours = ("--where", "environment = shop_support and turns > 0")
    again = await works.told("score", environment, *ours)
    assert (again["meant"], again["kept"], again["scored"]) == (len(worked), len(worked), 0), again
    (works.folder / "offline.py").write_text(OFFLINE.format(environment=environment))
    offline = await works.told("score", f"{works.folder / 'offline.py'}:rubric", *ours)
    assert (offline["scored"], offline["failed"]) == (len(worked), {}), offline
    changes = offline["changes"]
    assert changes.keys() >= NAMES
    for name in NAMES:
        assert (changes[name]["sessions"], changes[name]["changed"]) == (len(worked), 0), (name, changes[name])
