"""A rubric: the reward functions, metrics and group rewards of an environment, with their weights and a version.

A scorer is a plain function, sync or async, that asks by parameter name for what it needs; `PARAMETERS` lists the
names. It returns a number, a bool, a pair of a number and an explanation, or None for "no score" (which is not 0).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, overload

import orjson

from drawbar.errors import ConfigurationError, UnknownName
from drawbar.fingerprint import fingerprint
from drawbar.ids import digest

if TYPE_CHECKING:
    from drawbar.judging import Judge

ScoreFunction: TypeAlias = Callable[..., Any]
Kind: TypeAlias = Literal["reward", "metric", "group"]

PARAMETERS: Final[Mapping[str, str]] = {
    "task": "the Task",
    "answer": "the task's reference answer",
    "info": "the task's info",
    "trajectory": "the recorded Trajectory",
    "completion": "the words of the agent's last answer",
    "session": "the session's id",
    "feedback": "what people said of it: `thumbs` (1 or 0), numbers by name, the texts `correction` and `comment`",
    "judge": "the scorer's own Judge or else the environment's, ready to be asked",
}
GROUP_PARAMETERS: Final[Mapping[str, str]] = {
    "task": "the Task",
    "answer": "the task's reference answer",
    "info": "the task's info",
    "trajectories": "all rollouts of the task, a list of Trajectory",
    "completions": "their last answers, in the same order",
    "judge": "the scorer's own Judge or else the environment's, ready to be asked",
}
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Scorer:
    """One function of a rubric. Calling it calls the function."""

    function: ScoreFunction
    name: str
    kind: Kind
    weight: float
    judge: Judge | None = None
    """A judge of its own, in the place of the environment's."""

    @property
    def parameters(self) -> dict[str, bool]:
        """What it asks for, and whether it cannot do without."""
        known = GROUP_PARAMETERS if self.kind == "group" else PARAMETERS
        return {
            name: parameter.default is inspect.Parameter.empty
            for name, parameter in inspect.signature(self.function).parameters.items()
            if parameter.kind not in _VARIADIC and (parameter.default is inspect.Parameter.empty or name in known)
        }

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def _scorer(function: ScoreFunction, kind: Kind, weight: float, name: str | None, judge: Judge | None = None) -> Scorer:
    if isinstance(function, Scorer) or not callable(function):
        raise ConfigurationError(f"A {kind} is made of a function, not of {function!r}.")
    scorer = Scorer(function, name or str(getattr(function, "__name__", type(function).__name__)), kind, weight, judge)
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
def reward(
    *, weight: float = 1.0, name: str | None = None, judge: Judge | None = None
) -> Callable[[ScoreFunction], Scorer]: ...
def reward(
    function: ScoreFunction | None = None,
    /,
    *,
    weight: float = 1.0,
    name: str | None = None,
    judge: Judge | None = None,
) -> Any:
    """Make a function a reward: its value times its weight enters the rollout's reward."""
    return _scorer(function, "reward", 1.0, None) if function else lambda f: _scorer(f, "reward", weight, name, judge)


@overload
def metric(function: ScoreFunction, /) -> Scorer: ...
@overload
def metric(*, name: str | None = None, judge: Judge | None = None) -> Callable[[ScoreFunction], Scorer]: ...
def metric(function: ScoreFunction | None = None, /, *, name: str | None = None, judge: Judge | None = None) -> Any:
    """Make a function a metric: recorded and reported, weight 0 (until configuration gives it one)."""
    return _scorer(function, "metric", 0.0, None) if function else lambda f: _scorer(f, "metric", 0.0, name, judge)


@overload
def group_reward(function: ScoreFunction, /) -> Scorer: ...
@overload
def group_reward(
    *, weight: float = 1.0, name: str | None = None, judge: Judge | None = None
) -> Callable[[ScoreFunction], Scorer]: ...
def group_reward(
    function: ScoreFunction | None = None,
    /,
    *,
    weight: float = 1.0,
    name: str | None = None,
    judge: Judge | None = None,
) -> Any:
    """Make a function a group reward: it sees all rollouts of one task and returns one value for each, in their
    order."""
    return _scorer(function, "group", 1.0, None) if function else lambda f: _scorer(f, "group", weight, name, judge)


class Rubric:
    """Scorers by name. Immutable; `with_weights` makes another.

    Plain functions count as rewards of weight 1.

    Raises:
        ConfigurationError: two scorers of one name, a weight that is no number, or a scorer that asks for what there
        is not.
    """

    def __init__(self, *scorers: Scorer | ScoreFunction) -> None:
        self.scorers: dict[str, Scorer] = {}
        self._code: list[Any] | None = None
        for item in scorers:
            scorer = item if isinstance(item, Scorer) else _scorer(item, "reward", 1.0, None)
            if scorer.name in self.scorers:
                raise ConfigurationError(f"Two scorers are named {scorer.name!r}. Give one of them another `name=`.")
            if isinstance(scorer.weight, bool | str) or not math.isfinite(scorer.weight):
                raise ConfigurationError(f"The weight of {scorer.name!r} is a number, not {scorer.weight!r}.")
            self.scorers[scorer.name] = scorer

    def with_weights(self, weights: Mapping[str, float]) -> Rubric:
        """The same scorers with some weights changed. Raises `UnknownName` for a scorer there is not."""
        for name in weights:
            if name not in self.scorers:
                raise UnknownName("reward or metric", name, self.scorers)
        return Rubric(*(replace(s, weight=weights.get(s.name, s.weight)) for s in self.scorers.values()))

    def version(self, judge: Judge | None = None) -> str:
        """12 hex digits that change with what the scores mean.

        They cover each scorer's name, kind, weight, code and judge; the functions, classes and constants of your own
        that the code uses (`drawbar.fingerprint` says how far); and the environment's `judge`, if a scorer asks for
        it. They do not cover comments, formatting, and libraries.
        """
        if self._code is None:  # once: state that your code keeps in its constants must not change the version of a run
            self._code = [
                [s.kind, fingerprint(s.function), fingerprint(_settings(s.judge))] for s in self.scorers.values()
            ]
        shared = any("judge" in s.parameters and s.judge is None for s in self.scorers.values())
        weights = [[s.name, float(s.weight)] for s in self.scorers.values()]
        parts = [weights, self._code, fingerprint(_settings(judge)) if shared else None]
        return digest(orjson.dumps(parts)).hex()[:12]


def _settings(judge: Judge | None) -> Any:
    return None if judge is None else judge.configuration
