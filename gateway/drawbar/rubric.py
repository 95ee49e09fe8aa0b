"""A rubric: the reward functions, metrics and group rewards of an environment, with their weights and a version.

A scorer is a plain function, sync or async, that asks by parameter name for what it needs; `PARAMETERS` lists the names. It
returns a number, a bool, or None for "no score" (which is not 0).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, overload

import orjson

from drawbar.errors import ConfigurationError
from drawbar.ids import digest

ScoreFunction: TypeAlias = Callable[..., Any]
Kind: TypeAlias = Literal["reward", "metric", "group"]

PARAMETERS: Final[Mapping[str, str]] = {
    "task": "the Task",
    "answer": "the task's reference answer",
    "info": "the task's info",
    "trajectory": "the recorded Trajectory",
    "completion": "the words of the agent's last answer",
    "session": "the session's id",
    "judge": "the environment's Judge, ready to be asked",
}
GROUP_PARAMETERS: Final[Mapping[str, str]] = {
    "task": "the Task",
    "answer": "the task's reference answer",
    "info": "the task's info",
    "trajectories": "all rollouts of the task, a list of Trajectory",
    "completions": "their last answers, in the same order",
    "judge": "the environment's Judge, ready to be asked",
}


@dataclass(frozen=True, slots=True)
class Scorer:
    """One function of a rubric. Calling it calls the function."""

    function: ScoreFunction
    name: str
    kind: Kind
    weight: float

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.function).parameters)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def _scorer(function: ScoreFunction, kind: Kind, weight: float, name: str | None) -> Scorer:
    scorer = Scorer(function, name or getattr(function, "__name__", type(function).__name__), kind, weight)
    known = GROUP_PARAMETERS if kind == "group" else PARAMETERS
    unknown = [p for p in scorer.parameters if p not in known]
    if unknown:
        raise ConfigurationError(
            f"{kind.capitalize()} {scorer.name!r} asks for {', '.join(map(repr, unknown))}, which there is not. "
            f"It can ask for: {', '.join(known)}."
        )
    return scorer


@overload
def reward(function: ScoreFunction, /) -> Scorer: ...
@overload
def reward(*, weight: float = 1.0, name: str | None = None) -> Callable[[ScoreFunction], Scorer]: ...
def reward(function: ScoreFunction | None = None, /, *, weight: float = 1.0, name: str | None = None) -> Any:
    """Make a function a reward: its value times its weight enters the rollout's reward."""
    return _scorer(function, "reward", 1.0, None) if function else lambda f: _scorer(f, "reward", weight, name)


@overload
def metric(function: ScoreFunction, /) -> Scorer: ...
@overload
def metric(*, name: str | None = None) -> Callable[[ScoreFunction], Scorer]: ...
def metric(function: ScoreFunction | None = None, /, *, name: str | None = None) -> Any:
    """Make a function a metric: recorded and reported, weight 0 (until configuration gives it one)."""
    return _scorer(function, "metric", 0.0, None) if function else lambda f: _scorer(f, "metric", 0.0, name)


@overload
def group_reward(function: ScoreFunction, /) -> Scorer: ...
@overload
def group_reward(*, weight: float = 1.0, name: str | None = None) -> Callable[[ScoreFunction], Scorer]: ...
def group_reward(function: ScoreFunction | None = None, /, *, weight: float = 1.0, name: str | None = None) -> Any:
    """Make a function a group reward: it sees all rollouts of one task and returns one value for each."""
    return _scorer(function, "group", 1.0, None) if function else lambda f: _scorer(f, "group", weight, name)


class Rubric:
    """Scorers by name. Immutable; `with_weights` makes another.

    Plain functions count as rewards of weight 1.

    Raises:
        ConfigurationError: two scorers of one name, or a scorer that asks for what there is not.
    """

    def __init__(self, *scorers: Scorer | ScoreFunction) -> None:
        self.scorers: dict[str, Scorer] = {}
        for item in scorers:
            scorer = item if isinstance(item, Scorer) else _scorer(item, "reward", 1.0, None)
            if scorer.name in self.scorers:
                raise ConfigurationError(f"Two scorers are named {scorer.name!r}. Give one of them another `name=`.")
            self.scorers[scorer.name] = scorer

    def with_weights(self, weights: Mapping[str, float]) -> Rubric:
        """The same scorers with some weights changed. Raises `UnknownName` for a scorer there is not."""
        from drawbar.errors import UnknownName

        for name in weights:
            if name not in self.scorers:
                raise UnknownName("reward or metric", name, self.scorers)
        return Rubric(*(replace(s, weight=weights.get(s.name, s.weight)) for s in self.scorers.values()))

    def version(self, configuration: Any = None) -> str:
        """12 hex digits of the scorers' code, weights and the configuration (a judge's, say): changes when they do."""
        parts = [[s.name, s.kind, s.weight, _source(s.function)] for s in self.scorers.values()]
        return digest(orjson.dumps([parts, configuration], option=orjson.OPT_SORT_KEYS, default=repr)).hex()[:12]


def _source(function: ScoreFunction) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return code.co_code.hex() + repr(code.co_consts) if code else type(function).__qualname__
