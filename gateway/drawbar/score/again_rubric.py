"""From what a user names to a rubric: an environment's, or one that stands by itself in a module or a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drawbar.environment import Environment
from drawbar.errors import ConfigurationError
from drawbar.judging import Judge
from drawbar.loading import import_beside, load_environment
from drawbar.model import Model
from drawbar.rubric import Rubric, Scorer


@dataclass(frozen=True, kw_only=True)
class NamedRubric:
    """A rubric with what its judges need."""

    name: str
    rubric: Rubric
    judge: Judge | None = None
    models: Mapping[str, Model] = field(default_factory=dict)
    """In-process models that come with it."""

    @property
    def version(self) -> str:
        return self.rubric.version(self.judge)

    @property
    def judge_models(self) -> list[str]:
        """The models behind its judges, as far as they are named."""
        return list(dict.fromkeys(judge.model for judge in self.judges if judge.model))

    @property
    def judges(self) -> list[Judge]:
        """The judges that are asked."""
        asked = [scorer.judge or self.judge for scorer in self.rubric.scorers.values() if asks_a_judge(scorer)]
        return [judge for judge in asked if judge is not None]


def asks_a_judge(scorer: Scorer) -> bool:
    return "judge" in scorer.parameters


def named_rubric(ref: str, options: Mapping[str, str] | None = None) -> NamedRubric:
    """The rubric of that name.

    `ref` is an environment (as `drawbar run` takes it), or `module:name` or `file.py:name`, where the name is a
    `Rubric`, an `Environment`, a list of reward functions, one such function, or a function that makes any of these.

    Raises:
        UnknownName, ConfigurationError: there is none, or it cannot be loaded.
    """
    module, colon, name = ref.rpartition(":")
    if not colon or Path(ref).exists():
        return _of(load_environment(ref, options), ref)
    path = Path(module)
    if path.suffix == ".py":
        if not path.is_file():
            raise ConfigurationError(f"{ref}: there is no file {path}.")
        found = import_beside(f"{path.stem}:{name}", path.parent)
    else:
        found = import_beside(ref, Path.cwd())
    return _of(_made(found), ref)


def _made(found: Any) -> Any:
    """What a function without parameters makes, unless it is a reward itself: those ask for what they score."""
    is_plain = callable(found) and not isinstance(found, Scorer | Rubric | Environment | type)
    return found() if is_plain and _takes_nothing(found) else found


def _takes_nothing(function: Callable[..., Any]) -> bool:
    import inspect

    return not inspect.signature(function).parameters


def _of(found: Any, ref: str) -> NamedRubric:
    if isinstance(found, Environment):
        return NamedRubric(name=found.name, rubric=found.scoring, judge=found.judge, models=found.models)
    if isinstance(found, Rubric):
        rubric = found
    elif isinstance(found, list | tuple):
        rubric = Rubric(*found)
    elif callable(found):
        rubric = Rubric(found)
    else:
        raise ConfigurationError(
            f"{ref} is a {type(found).__name__}, not a Rubric, an Environment or reward functions."
        )
    if not rubric.scorers:
        raise ConfigurationError(f"{ref} has no reward and no metric.")
    return NamedRubric(name=ref, rubric=rubric)
