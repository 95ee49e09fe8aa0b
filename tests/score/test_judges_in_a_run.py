"""Rewards, judges and group rewards through the engine and the gateway, as they end up in the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drawbar import Environment, Judge, Score, Task, group_reward, judge, reward
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.record.store import Store
from drawbar.rollout.access import LocalAccess
from drawbar.rollout.engine import run
from drawbar.rollout.harnesses import load_harness
from drawbar.rollout.plan import Plan
from drawbar.serving import serving
from drawbar.testing import says


async def agent(messages: Any, tools: Any, task: Any, /) -> Mapping[str, Any]:
    return says("four")


async def grader(messages: Any, tools: Any, task: Any, /) -> Mapping[str, Any]:
    """A judge's model: it wants words, not digits."""
    return says("Verdict: yes" if "four" in messages[-1]["content"] else "I would not know.")


@reward(weight=0.5, judge=Judge(template="{{ answer }}?", model="grader"))
async def strict(judge: Judge) -> float:
    return (await judge()).value


@group_reward(weight=0.0)
def first(completions: list[str]) -> list[float]:
    return [1.0, *[0.0] * (len(completions) - 1)]


async def scores_of(environment: Environment, store_path: Path) -> list[list[Score]]:
    store = Store.open(store_path)
    try:
        gateway = Gateway(store, Models(in_process=environment.models), environments={environment.name: environment})
        async with gateway, serving(gateway) as url:
            harness = load_harness("chat")
            plan = Plan(environment=environment, harness=harness, model="agent", rollouts=2, retries=0)
            await run(plan, LocalAccess(gateway, url))
        rollouts = sorted(store.trajectories(run=plan.run), key=lambda trajectory: trajectory.rollout)
        return [list(trajectory.scores) for trajectory in rollouts]
    finally:
        store.close()


async def test_what_judges_said_and_spent_is_stored_with_each_score(tmp_path: Path) -> None:
    environment = Environment(
        name="sums",
        tasks=[Task(key="k", prompt="2+2?", answer="4")],
        rubric=[judge("{{ question }} {{ completion }}", model="grader", name="words"), strict, first],
        models={"agent": agent, "grader": grader},
    )
    stored = await scores_of(environment, tmp_path / "drawbar.db")
    assert len(stored) == 2
    for position, scores in enumerate(stored):
        by_name = {score.name: score for score in scores}
        assert by_name["words"].value == 1.0
        assert by_name["words"].explanation == "Verdict: yes"
        spent = by_name["words"].usage
        assert spent is not None
        assert (spent["model"], spent["calls"]) == ("grader", 1)
        assert spent["prompt_tokens"] > 0
        assert by_name["strict"].value is None
        assert "gave no verdict" in str(by_name["strict"].error)
        assert by_name["first"].value == 1.0 - position
        assert {score.rubric_version for score in scores} == {environment.rubric_version}
