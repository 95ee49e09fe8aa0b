"""What TRL makes environments with: a class whose methods are the tools, and objects of it, one for each rollout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drawbar.environment import Environment
from drawbar.errors import ConfigurationError
from drawbar.task import Task
from drawbar.trl.methods import methods
from drawbar.trl.playing import Playing, Rollout


class Player:
    """One rollout after the other: `reset` begins one, the other public methods are the tools. TRL makes and calls it.

    Its subclasses are made by `EnvironmentFactory`.
    """

    _playing: Playing
    """Set on the class."""

    def __init__(self) -> None:
        self._rollout: Rollout | None = None

    def reset(self, **row: Any) -> None:
        """A rollout begins, of the task in this row of the data set."""
        if self._rollout is not None:
            self._playing.abandon(self._rollout)
        self._rollout = self._playing.begin(_task_of(row))

    def _take(self) -> Rollout | None:
        """The rollout that is over, once."""
        rollout, self._rollout = self._rollout, None
        return rollout


class EnvironmentFactory:
    """Makes `Player`s of one environment, whose rollouts are recorded as one run. `close` it when training is over, or
    let the end of the process do so."""

    def __init__(self, environment: Environment, *, store: str | None, model: str) -> None:
        self.playing = Playing(environment, store=store, model=model)
        try:
            tools = methods(self.playing.tools, _call)
        except BaseException:
            self.playing.close()
            raise
        body = {**tools, "_playing": self.playing, "__doc__": environment.description or None}
        self._made: Callable[[], Player] = type(environment.name, (Player,), body)

    def __call__(self) -> Player:
        return self._made()

    @property
    def run(self) -> str:
        """The id of the run in the store."""
        return self.playing.run

    def close(self) -> None:
        """End what is under way, and the run."""
        self.playing.close()


def _call(player: Player, tool: str, arguments: dict[str, Any]) -> str:
    if player._rollout is None:
        raise RuntimeError("No rollout is under way: TRL calls `reset` first.")
    return player._playing.call(player._rollout, tool, arguments)


def _task_of(row: dict[str, Any]) -> Task:
    try:
        return Task.from_json(row["task"])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            "Each row of the data set needs its task in the column `task`, as `drawbar.trl.train_dataset` writes it."
        ) from error
