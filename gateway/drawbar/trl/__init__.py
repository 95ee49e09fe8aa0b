"""Any environment for TRL's `GRPOTrainer`: its tasks, its tools, its rubric. Every rollout is recorded.

    from trl import GRPOConfig, GRPOTrainer
    from drawbar.trl import environment_factory, reward_funcs, train_dataset

    trainer = GRPOTrainer(
        model="Qwen/Qwen3-0.6B",
        args=GRPOConfig(output_dir="out", num_generations=8, max_completion_length=1024),
        train_dataset=train_dataset("servers/wiki_search", limit=500),
        environment_factory=environment_factory("servers/wiki_search"),
        reward_funcs=reward_funcs("servers/wiki_search"),
    )
    trainer.train()

TRL generates; tools are called through a gateway in this process, which keeps them in the store, and what the model
said is added to them once TRL asks for the rewards. `drawbar runs`, `drawbar show` and `drawbar export` then find what
was played. Nothing of TRL, `datasets` or torch is imported before it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drawbar.environment import Environment
from drawbar.errors import ConfigurationError
from drawbar.loading import load_environment

if TYPE_CHECKING:
    from datasets import Dataset

    from drawbar.trl.factory import EnvironmentFactory

__all__ = ["environment_factory", "reward_funcs", "train_dataset"]


def train_dataset(
    environment: Environment | str | Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    options: Mapping[str, str] | None = None,
) -> Dataset:
    """An environment's tasks as `GRPOTrainer` takes them: `prompt` (chat messages) and `task` (the whole task, JSON).

    Args:
        environment: an environment, or the name or path of one.
        split: given by name or path: the `split` that is asked of the function that makes the environment.
        limit: at most so many tasks; tasks without end need it.
        options: further options of that function.

    Raises:
        ConfigurationError: there are no tasks, or one has a user who says more later, whom TRL cannot play.
    """
    from datasets import Dataset

    made = _loaded(environment, options, split)
    tasks = list(made.iter_tasks(limit))
    if not tasks:
        raise ConfigurationError(f"Environment {made.name} has no tasks.")
    if spoken := next((task.key for task in tasks if task.user_turns or made.user is not None), None):
        raise ConfigurationError(
            f"Task {spoken!r} has a user who says more after the agent's first answer; TRL plays one request alone."
        )
    return Dataset.from_list([{"prompt": task.messages, "task": task.to_json().decode()} for task in tasks])


def environment_factory(
    environment: Environment | str | Path,
    *,
    store: str | None = None,
    model: str = "policy",
    options: Mapping[str, str] | None = None,
) -> EnvironmentFactory:
    """What `GRPOTrainer` makes the players of rollouts with: objects whose methods are the environment's tools.

    Args:
        environment: an environment, or the name or path of one.
        store: where rollouts are recorded; None: where `drawbar run` would (`$DRAWBAR_STORE`, or the default).
        model: what the record calls the model that is trained.
        options: of the function that makes the environment, where it is given by name or path.

    Raises:
        ConfigurationError: a tool cannot be a method of Python's.
        ToolServerError: the environment's tools cannot be had.
    """
    from drawbar.trl.factory import EnvironmentFactory

    return EnvironmentFactory(_loaded(environment, options), store=store, model=model)


def reward_funcs(
    environment: Environment | str | Path, *, options: Mapping[str, str] | None = None
) -> Sequence[Callable[..., list[float | None]]]:
    """What `GRPOTrainer` asks for rewards: one function, the rubric's weighted sum for each rollout.

    A rollout that does not count (its tools failed, a scorer gave nothing) has no reward, and TRL trains nothing on it.
    The rubric's single scores are logged as `ENVIRONMENT/SCORER`.
    """
    from drawbar.trl.rewards import rubric_reward

    return [rubric_reward(_loaded(environment, options).name)]


def _loaded(
    environment: Environment | str | Path, options: Mapping[str, str] | None, split: str | None = None
) -> Environment:
    wanted = {**(options or {}), **({} if split is None else {"split": split})}
    if not isinstance(environment, Environment):
        return load_environment(environment, wanted)
    if wanted:
        raise ConfigurationError(
            f"Environment {environment.name} is made already: a split or options go to the function that makes one. "
            "Give its name or path instead, or make it with what you mean."
        )
    return environment
