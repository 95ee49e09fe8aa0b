"""The rubric's reward as a function that TRL calls with what was said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from drawbar.errors import ConfigurationError
from drawbar.trl.factory import Player
from drawbar.trl.playing import Playing, Said


def rubric_reward(environment: str) -> Callable[..., list[float | None]]:
    """The reward function of the environment of this name. Rollouts of others have none."""

    def reward(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        environments: Sequence[Any] | None = None,
        trainer_state: Any = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        if environments is None:
            raise ConfigurationError(
                "These rewards look at what was recorded: give the trainer "
                "`environment_factory=drawbar.trl.environment_factory(...)` too."
            )
        step = getattr(trainer_state, "global_step", None)
        version = None if step is None else f"step-{step}"
        found: list[float | None] = [None] * len(completions)
        by_playing: dict[Playing, dict[int, Said]] = {}
        for number, player in enumerate(environments):
            if not isinstance(player, Player) or player._playing.environment.name != environment:
                continue
            if (rollout := player._take()) is not None:
                said = Said(rollout, list(prompts[number]), list(completions[number]), version)
                by_playing.setdefault(player._playing, {})[number] = said
        for playing, said_by in by_playing.items():
            results = playing.finish(list(said_by.values()))
            for number, result in zip(said_by, results, strict=True):
                found[number] = result.reward if result.valid else None
            if log_metric is not None:
                _log(environment, [result.scores for result in results], log_metric)
        return found

    reward.__name__ = f"{environment}_reward"
    return reward


def _log(environment: str, scores: Sequence[Any], log_metric: Callable[[str, float], None]) -> None:
    for name in dict.fromkeys(name for each in scores for name in each):
        values = [value for each in scores if (value := each.get(name)) is not None]
        if values:
            log_metric(f"{environment}/{name}", fmean(values))
