"""`drawbar.trl` as TRL's trainer calls it, without TRL: objects with tools, rollouts that are recorded, rewards."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drawbar import Environment, Task, group_reward
from drawbar.errors import ConfigurationError
from drawbar.record.facts import FactReader
from drawbar.record.store import Store
from drawbar.trajectory import Trajectory
from drawbar.trl import environment_factory, reward_funcs
from drawbar.trl.factory import EnvironmentFactory, Player
from drawbar.trl.methods import methods

TASKS = [Task(key="two", prompt="What is 1 + 1?", answer="2"), Task(key="four", prompt="What is 2 + 2?", answer="4")]


async def add(a: int, b: int = 1) -> str:
    """Add two numbers."""
    return str(a + b)


async def fail() -> str:
    """Fails."""
    raise ValueError("no such thing")


def correct(completion: str, answer: str) -> bool:
    return completion == answer


def adder(**fields: Any) -> Environment:
    return Environment(**{"name": "adder", "tools": [add, fail], "tasks": TASKS, "rubric": [correct], **fields})


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "rl.db")


@pytest.fixture
def factory(url: str) -> Iterator[EnvironmentFactory]:
    factory = environment_factory(adder(), store=url)
    yield factory
    factory.close()


def begun(factory: EnvironmentFactory, task: Task) -> Any:
    player = factory()
    player.reset(prompt=task.messages, task=task.to_json().decode())
    return player


def asks(name: str, **arguments: Any) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def shown(name: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "name": name, "content": text}


def says(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def rewarded(
    players: list[Any], completions: list[list[dict[str, Any]]], environment: Environment | None = None, **more: Any
) -> list[float | None]:
    [reward] = reward_funcs(environment or adder())
    prompts = [TASKS[0].messages for _ in players]
    return reward(prompts=prompts, completions=completions, completion_ids=[], environments=players, **more)


def recorded(url: str) -> list[Trajectory]:
    store = Store.open(url, read_only=True)
    try:
        return [store.trajectory(id) for id in FactReader(store).ids()]
    finally:
        store.close()


def test_a_rollout_is_recorded_with_its_calls_tools_and_score(factory: EnvironmentFactory, url: str) -> None:
    player = begun(factory, TASKS[0])
    said = player.add(a=1, b=1)
    rewards = rewarded([player], [[asks("add", a=1, b=1), shown("add", said), says("2")]])
    factory.close()
    assert (said, rewards) == ("2", [1.0])
    [trajectory] = recorded(url)
    assert (trajectory.run, trajectory.harness, trajectory.stop) == (factory.run, "trl", "completed")
    assert [message.role for message in trajectory.messages] == ["user", "assistant", "tool", "assistant"]
    assert (trajectory.turns, trajectory.completion, trajectory.reward) == (2, "2", 1.0)
    [call] = trajectory.tool_calls
    assert (call.seen, call.asked_by) == ("same", trajectory.calls[0].id)
    assert trajectory.calls[0].tools is not None
    assert {finding.severity for finding in trajectory.health} <= {"note"}


def test_calls_have_the_times_between_the_tool_calls(factory: EnvironmentFactory, url: str) -> None:
    player = begun(factory, TASKS[0])
    player.add(a=1, b=1)
    rewarded([player], [[asks("add", a=1, b=1), shown("add", "2"), says("2")]])
    factory.close()
    [trajectory] = recorded(url)
    first, last = trajectory.calls
    [tool] = trajectory.tool_calls
    assert first.ended is not None
    assert tool.ended is not None
    assert first.started <= first.ended <= tool.started <= tool.ended <= last.started


def test_the_rollouts_of_a_task_are_a_group_of_one_run(factory: EnvironmentFactory, url: str) -> None:
    players = [begun(factory, TASKS[0]) for _ in range(3)]
    state = type("State", (), {"global_step": 7})()
    rewards = rewarded(players, [[says("2")], [says("3")], [says("2")]], trainer_state=state)
    again = begun(factory, TASKS[0])
    rewarded([again], [[says("2")]])
    factory.close()
    assert rewards == [1.0, 0.0, 1.0]
    found = recorded(url)
    assert sorted(each.rollout for each in found) == [0, 1, 2, 3]
    assert {each.run for each in found} == {factory.run}
    assert [each.calls[0].policy_version for each in found] == ["step-7"] * 3 + [None]
    store = Store.open(url, read_only=True)
    run = store.run(factory.run)
    store.close()
    assert run is not None
    assert (run.status, run.rollouts, run.harness, run.model) == ("finished", 4, "trl", "policy")


def test_what_a_failing_tool_says_goes_to_the_model(factory: EnvironmentFactory) -> None:
    player = begun(factory, TASKS[0])
    assert "no such thing" in player.fail()
    assert "valid" in player.add(a="one").lower()


def test_a_rollout_that_was_cut_off_is_scored_and_says_so(factory: EnvironmentFactory, url: str) -> None:
    player = begun(factory, TASKS[0])
    rewards = rewarded([player], [[asks("add", a=1, b=1)]])
    factory.close()
    [trajectory] = recorded(url)
    assert (rewards, trajectory.stop) == ([0.0], "limit_turns")


def test_a_rollout_that_does_not_count_has_no_reward(url: str) -> None:
    def broken(completion: str) -> float:
        raise RuntimeError("no verdict")

    environment = adder(rubric=[broken])
    factory = environment_factory(environment, store=url)
    assert rewarded([begun(factory, TASKS[0])], [[says("2")]], environment) == [None]
    factory.close()


def test_group_rewards_see_the_rollouts_of_their_task_alone(url: str) -> None:
    @group_reward
    def rarest(completions: list[str]) -> list[float]:
        return [1.0 / completions.count(each) for each in completions]

    environment = adder(rubric=[rarest])
    factory = environment_factory(environment, store=url)
    players = [begun(factory, TASKS[0]), begun(factory, TASKS[0]), begun(factory, TASKS[1])]
    assert rewarded(players, [[says("2")], [says("2")], [says("2")]], environment) == [0.5, 0.5, 1.0]
    factory.close()


def test_scores_are_logged_by_the_name_of_their_scorer(factory: EnvironmentFactory) -> None:
    logged: dict[str, float] = {}
    players = [begun(factory, TASKS[0]) for _ in range(2)]
    rewarded(players, [[says("2")], [says("3")]], log_metric=logged.__setitem__)
    assert logged == {"adder/correct": 0.5}


def test_players_of_other_environments_have_no_reward_here(factory: EnvironmentFactory) -> None:
    assert rewarded([begun(factory, TASKS[0]), object()], [[says("2")], [says("2")]]) == [1.0, None]


def test_a_rollout_that_is_given_up_is_ended(factory: EnvironmentFactory, url: str) -> None:
    player = begun(factory, TASKS[0])
    player.reset(prompt=[], task=TASKS[1].to_json().decode())
    factory.close()
    assert [(each.status, each.stop) for each in recorded(url)] == [("ended", "cancelled")] * 2


def test_tools_are_the_only_public_methods_and_have_their_signatures(factory: EnvironmentFactory) -> None:
    player: Any = factory()
    found = dict(inspect.getmembers(type(player), predicate=inspect.isfunction))
    assert {name for name in found if not name.startswith("_")} == {"reset", "add", "fail"}
    assert str(inspect.signature(player.add)) == "(*, a: int, b: int | None = 1) -> str"
    assert (player.add.__name__, isinstance(player, Player)) == ("add", True)
    assert "Args:\n    a: " in (player.add.__doc__ or "")


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ({"name": "reset"}, "calls reset, get_reward itself"),
        ({"name": "_hidden"}, "cannot be offered by TRL"),
        ({"name": "t", "inputSchema": {"properties": {"from": {"type": "string"}}}}, "an argument 'from'"),
        ({"name": "t", "inputSchema": {"properties": {"max-n": {"type": "string"}}}}, "an argument 'max-n'"),
    ],
)
def test_a_tool_that_cannot_be_a_method_is_named(tool: dict[str, Any], said: str) -> None:
    call: Callable[..., str] = lambda *_: ""  # noqa: E731
    with pytest.raises(ConfigurationError, match=said):
        methods([tool], call)


def test_rows_without_a_task_are_told_what_they_lack(factory: EnvironmentFactory) -> None:
    with pytest.raises(ConfigurationError, match="train_dataset"):
        factory().reset(prompt="Hi?")


def test_rewards_without_the_factory_are_told_what_they_lack() -> None:
    [reward] = reward_funcs(adder())
    with pytest.raises(ConfigurationError, match="environment_factory"):
        reward(prompts=[], completions=[], completion_ids=[])


def test_a_closed_factory_says_so(factory: EnvironmentFactory) -> None:
    player = begun(factory, TASKS[0])
    factory.close()
    factory.close()
    with pytest.raises(RuntimeError, match="closed"):
        player.add(a=1)


def test_importing_it_loads_neither_a_trainer_nor_a_gateway() -> None:
    heavy = {"torch", "transformers", "trl", "datasets", "mcp", "sqlalchemy", "drawbar.gateway"}
    code = f"import sys, drawbar.trl; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_program_that_forgets_to_close_it_ends_all_the_same(tmp_path: Path) -> None:
    program = tmp_path / "train.py"
    program.write_text(
        "from drawbar import Environment, Task\n"
        "from drawbar.trl import environment_factory\n"
        "task = Task(key='a', prompt='Hi?')\n"
        "player = environment_factory(Environment(name='plain', tasks=[task]), store='rl.db')()\n"
        "player.reset(prompt='Hi?', task=task.to_json().decode())\n"
    )
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    [trajectory] = recorded(str(tmp_path / "rl.db"))
    assert (trajectory.status, trajectory.stop) == ("ended", "cancelled")
