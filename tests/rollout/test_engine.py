"""A run: what is done, what is recorded, and what each way of ending means for the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from aiohttp import web

from drawbar import Assignment, Environment, Limits, Outcome, Task, Trajectory, group_reward, metric, reward
from drawbar.errors import ConfigurationError, StoreError
from drawbar.record.rows import Row
from drawbar.record.store import Store
from drawbar.rollout.access import LocalAccess
from drawbar.rollout.engine import run
from drawbar.rollout.events import Event, RolloutFinished, RolloutRetried, RolloutStarted
from drawbar.rollout.plan import Plan
from drawbar.testing import Failure, ScriptedModel, calls, says, serve_chat
from drawbar_harnesses.chat import ChatHarness
from drawbar_harnesses.loop import LoopHarness

Reach = Callable[..., AbstractAsyncContextManager[LocalAccess]]


async def shout(word: str) -> str:
    """Say a word loudly."""
    return word.upper()


async def shouter(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None
) -> dict[str, Any]:
    """Shouts what the task asks for, by the tool."""
    assert task is not None
    last = messages[-1]
    return says(last["content"]) if last["role"] == "tool" else calls("shout", word=task.key)


@reward
def loud(completion: str, answer: str) -> bool:
    return completion == answer


@metric
def length(completion: str) -> int:
    return len(completion)


WORDS = ("tide", "reef", "kelp")


def house(**changes: Any) -> Environment:
    tasks = [Task(key=word, prompt=f"Shout {word}.", answer=word.upper()) for word in WORDS]
    return Environment(**{
        "name": "shouting", "tools": [shout], "tasks": tasks, "rubric": [loud, length], "models": {"shouter": shouter},
        **changes,
    })  # fmt: skip


def planned(environment: Environment, **changes: Any) -> Plan:
    return Plan(**{"environment": environment, "harness": LoopHarness(), "model": "shouter", "backoff": 0.0, **changes})


class Speaker:
    """A harness that does what its function says."""

    name = "speaker"

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    async def run(self, assignment: Assignment, /) -> Outcome:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        result: Outcome = self.outcome
        return result


async def test_every_rollout_of_every_task_is_recorded_scored_and_reported(reach: Reach, read: Any) -> None:
    environment = house()
    async with reach(environment) as access:
        report = await run(planned(environment, rollouts=2), access)
    assert (report.rollouts, report.valid, report.tasks) == (6, 6, 3)
    assert report.reward is not None
    assert report.reward.mean == 1.0
    assert report.metrics == {"length": 4.0}
    assert report.rewards == {"loud": (1.0, 1.0)}
    assert (report.turns, report.tool_calls) == (2.0, 1.0)
    assert not report.llm
    store = read()
    stored = list(store.trajectories(run=report.run.id))
    assert sorted((t.task.key, t.rollout) for t in stored if t.task) == sorted((w, r) for w in WORDS for r in (0, 1))
    assert {t.reward for t in stored} == {1.0}
    assert store.run(report.run.id).status == "finished"
    store.close()


async def test_rollouts_at_the_same_time_are_kept_apart(reach: Reach, read: Any) -> None:
    environment = house(tasks=[Task(key=f"word{i}", prompt=f"Shout word{i}.", answer=f"WORD{i}") for i in range(40)])
    async with reach(environment) as access:
        report = await run(planned(environment, concurrency=40), access)
    assert report.reward is not None
    assert report.reward.mean == 1.0
    store = read()
    for trajectory in store.trajectories(run=report.run.id):
        key = trajectory.task.key
        assert [m.text for m in trajectory.messages if m.role == "user"] == [f"Shout {key}."]
        assert [call.arguments for call in trajectory.tool_calls] == [{"word": key}]
        assert not trajectory.health
    store.close()


async def test_no_more_rollouts_go_on_at_once_than_allowed_and_tasks_are_made_as_needed(reach: Reach) -> None:
    made: list[int] = []

    def many() -> Any:
        made.clear()
        for i in range(2_000):
            made.append(i)
            yield Task(key=f"w{i}", prompt="Shout.", answer=f"W{i}")

    running = most = done = ahead = 0

    def watch(event: Event) -> None:
        nonlocal running, most, done, ahead
        if isinstance(event, RolloutStarted):
            running += 1
            most = max(most, running)
            ahead = max(ahead, len(made) - done)
        elif isinstance(event, RolloutFinished):
            running -= 1
            done += 1

    environment = house(tasks=many)
    async with reach(environment) as access:
        report = await run(planned(environment, tasks=60, concurrency=5), access, listen=watch)
    assert report.rollouts == 60
    assert most == 5
    assert ahead <= 6


async def test_endless_tasks_need_a_number(reach: Reach) -> None:
    def endless() -> Any:
        number = 0
        while True:
            number += 1
            yield Task(key=f"w{number}", prompt="Shout.", answer=f"W{number}")

    environment = house(tasks=endless)
    with pytest.raises(ConfigurationError, match="-n"):
        planned(environment).selected()
    with pytest.raises(ConfigurationError, match="leave --shuffle out"):
        planned(environment, tasks=7, shuffle=True).selected()
    async with reach(environment) as access:
        report = await run(planned(environment, tasks=7), access)
    assert report.rollouts == 7


def test_an_environment_without_tasks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no tasks"):
        planned(house(tasks=[])).selected()


def test_a_repeated_key_is_found_before_the_first_rollout() -> None:
    with pytest.raises(ConfigurationError, match="'a' repeats"):
        planned(house(tasks=[Task(key="a", prompt="x"), Task(key="a", prompt="y")])).selected()


@pytest.mark.parametrize("numbers", [{"rollouts": 0}, {"concurrency": 0}, {"retries": -1}, {"tasks": 0}])
def test_numbers_that_make_no_sense_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(numbers))):
        planned(house(), **numbers)


def test_shuffling_depends_on_the_seed_alone_and_comes_before_taking_the_first() -> None:
    tasks = [Task(key=f"t{i}", prompt="x", info={"i": i}) for i in range(50)]
    orders = [
        [task.key for task in planned(house(tasks=tasks), shuffle=True, seed=seed, tasks=5).selected()]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != [task.key for task in tasks[:5]]
    assert planned(house(tasks=tasks), shuffle=True, tasks=5).selected().total == 5


async def test_each_rollout_of_a_task_gets_a_seed_of_its_own(reach: Reach) -> None:
    environment = house(tools=[], tasks=[Task(prompt="Hello.", answer="hi")])
    async with serve_chat(["hi"]) as server:
        async with reach(environment, base_url=server.base_url) as access:
            await run(planned(environment, model="m", harness=ChatHarness(), rollouts=3, seed=40), access)
        assert sorted(received.body["seed"] for received in server.requests) == [40, 41, 42]


async def test_a_cause_that_may_go_away_is_tried_again_and_the_last_attempt_counts(reach: Reach, read: Any) -> None:
    environment = house(tools=[], tasks=[Task(prompt="Hello.", answer="hi")])
    events: list[Event] = []
    async with (
        serve_chat([Failure(503), Failure(429), "hi"], in_order=True) as server,
        reach(environment, base_url=server.base_url) as access,
    ):
        plan = planned(environment, model="m", harness=ChatHarness())
        report = await run(plan, access, listen=events.append)
    assert [e.cause for e in events if isinstance(e, RolloutRetried)] == [
        "upstream_unavailable",
        "upstream_rate_limited",
    ]
    assert (report.rollouts, report.valid, report.retried) == (1, 1, 1)
    store = read()
    assert sorted(t.attempt for t in store.trajectories(run=report.run.id)) == [0, 1, 2]
    store.close()


async def test_a_cause_that_stays_is_not_tried_again_and_is_invalid_not_zero(reach: Reach) -> None:
    environment = house(tools=[], tasks=[Task(key="good", prompt="hi", answer="hi"), Task(key="bad", prompt="ho")])

    def answer(body: dict[str, Any]) -> Any:
        return "hi" if body["messages"][-1]["content"] == "hi" else Failure(400, "no such parameter")

    async with serve_chat(answer) as server:
        async with reach(environment, base_url=server.base_url) as access:
            report = await run(planned(environment, model="m", harness=ChatHarness()), access)
        assert len(server.requests) == 2
    assert (report.valid, report.invalid) == (1, 1)
    assert report.errors == {"upstream_rejected": 1}
    assert "no such parameter" in report.examples["upstream_rejected"]
    assert report.reward is not None
    assert report.reward.mean == 1.0


async def test_a_scorer_that_fails_makes_its_rollout_invalid(reach: Reach) -> None:
    @reward
    def fussy(completion: str) -> float:
        if completion == "REEF":
            raise ValueError("not reefs")
        return 1.0

    environment = house(rubric=[fussy, length])
    async with reach(environment) as access:
        report = await run(planned(environment), access)
    assert report.errors == {"scorer_failed": 1}
    assert "not reefs" in report.examples["scorer_failed"]
    assert report.reward is not None
    assert (report.reward.mean, report.reward.count) == (1.0, 2)


async def test_a_limit_is_a_clean_stop_that_counts(reach: Reach) -> None:
    environment = house()
    async with reach(environment) as access:
        report = await run(planned(environment, limits=Limits(turns=1)), access)
    assert report.stops == {"limit_turns": 3}
    assert report.reward is not None
    assert report.reward.mean == 0.0


@pytest.mark.parametrize(
    ("outcome", "said"),
    [(RuntimeError("the agent fell over"), "RuntimeError: the agent fell over"), ("nothing", "not an Outcome"),
     (Outcome("tired"), "not an Outcome"), (Outcome(), "without having asked"),
     (Outcome("agent_failed", "no such file"), "no such file")],
)  # fmt: skip
async def test_a_harness_that_breaks_its_contract_is_tried_again_and_then_invalid(
    reach: Reach, outcome: Any, said: str
) -> None:
    environment = house(tasks=[Task(prompt="Hello.", answer="hi")])
    async with reach(environment) as access:
        report = await run(planned(environment, harness=Speaker(outcome), retries=1), access)
    assert report.errors == {"harness_failed": 1}
    assert said in report.examples["harness_failed"]
    assert report.reward is None


async def test_a_group_reward_sees_all_rollouts_of_its_task(reach: Reach, read: Any) -> None:
    @group_reward
    def rank(trajectories: list[Trajectory]) -> list[float]:
        return [float(trajectory.rollout) for trajectory in trajectories]

    environment = house(rubric=[rank])
    async with reach(environment) as access:
        report = await run(planned(environment, rollouts=4), access)
    assert report.reward is not None
    assert report.reward.mean == 1.5
    store = read()
    assert all(t.reward == t.rollout for t in store.trajectories(run=report.run.id))
    store.close()


class FullStore(Store):
    """A store whose disk is full once the first score was written."""

    full = False

    def write(self, rows: Sequence[Row]) -> None:
        if self.full:
            raise StoreError("The disk is full.")
        super().write(rows)


async def test_a_store_that_cannot_be_written_stops_the_run_and_it_can_be_resumed(reach: Reach, tmp_path: Any) -> None:
    environment = house()
    store = FullStore.open(tmp_path / "runs.db")
    assert isinstance(store, FullStore)

    def fill(event: Event) -> None:
        store.full = store.full or isinstance(event, RolloutFinished)

    plan = planned(environment, concurrency=1)
    with pytest.raises(StoreError):
        async with reach(environment, store=store) as access:
            await run(plan, access, listen=fill)
    async with reach(environment) as access:
        report = await run(plan, access, history=await access.results(plan.run))
    assert (report.rollouts, report.kept, report.run.status) == (3, 1, "finished")


async def test_a_model_that_is_scripted_gives_the_same_report_twice(reach: Reach) -> None:
    environment = house(models={"script": ScriptedModel([calls("shout", word="tide"), says("TIDE")])})
    async with reach(environment) as access:
        reports = [await run(planned(environment, model="script"), access) for _ in range(2)]
    assert reports[0].rewards == reports[1].rewards
    assert reports[0].rewards["loud"][0] == pytest.approx(1 / 3)


async def test_an_environment_says_how_many_rollouts_it_can_bear(reach: Reach) -> None:
    running = most = 0

    def watch(event: Event) -> None:
        nonlocal running, most
        running += isinstance(event, RolloutStarted) - isinstance(event, RolloutFinished)
        most = max(most, running)

    environment = house(concurrency=2)
    async with reach(environment) as access:
        await run(planned(environment, rollouts=3, concurrency=9), access, listen=watch)
    assert most == 2
    with pytest.raises(ConfigurationError, match="concurrency is 1 or more"):
        house(concurrency=0)


async def test_a_provider_is_sent_no_more_requests_at_a_time_than_allowed(reach: Reach) -> None:
    waiting = most = 0
    may_answer = anyio.Event()

    async def count(request: web.Request) -> web.Response:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        if waiting == 3:
            may_answer.set()
        await may_answer.wait()
        await anyio.lowlevel.checkpoint()
        waiting -= 1
        return web.json_response({"choices": [{"index": 0, "message": says("hi"), "finish_reason": "stop"}]})

    application = web.Application()
    application.router.add_post("/v1/chat/completions", count)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    environment = house(tools=[], tasks=[Task(key=f"t{i}", prompt="Hello.", answer="hi") for i in range(30)])
    try:
        async with reach(environment, base_url=url, concurrency=3) as access:
            report = await run(planned(environment, model="m", harness=ChatHarness()), access)
    finally:
        await runner.cleanup()
    assert (report.valid, most) == (30, 3)
