"""What is chosen among the sessions that are fit to be exported, as somebody said it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from drawbar.alike import THRESHOLD
from drawbar.errors import ConfigurationError, UnknownName, nearest
from drawbar.record.filter import EVERYTHING, Filter
from drawbar.rollout.report import PASS_THRESHOLD

if TYPE_CHECKING:
    from drawbar.export.held_out import HeldOutTasks

Source: TypeAlias = Literal["siblings", "branches", "corrections"]

SELECTORS: Final[Mapping[str, str]] = {
    "all": "every session",
    "best": "the one with the highest reward",
    "best-n": "the K with the highest rewards (`best-n:4`)",
    "correct": "those with at least the pass threshold",
    "shortest-correct": "of those the one with the fewest tokens of the model's; of turns, where nobody counted them",
    "random-n": "K of them, drawn by the seed (`random-n:4`)",
}
"""What can be taken of each task."""
SOURCES: Final[Mapping[str, str]] = {
    "siblings": "two sessions of one task that part at the model's first reply",
    "branches": "two that part later, after a prefix that both share; two replies of one session to the same request, "
    "by what people said of each",
    "corrections": "what people said should have been answered, against what was",
}
"""Where a pair can come from."""
PAIRS_PER_TASK: Final = 4
"""Unless told otherwise."""
_NUMBERED: Final = ("best-n", "random-n")
_SELECT: Final = re.compile(r"([a-z-]+?)(?::(\d{1,6}))?")


@dataclass(frozen=True, slots=True)
class Select:
    """What is taken of each task."""

    name: str = "all"
    count: int = 1
    """Of those with a number."""

    def __str__(self) -> str:
        return f"{self.name}:{self.count}" if self.name in _NUMBERED else self.name

    @property
    def by_reward(self) -> bool:
        """Whether a session without a reward has no place in it."""
        return self.name not in ("all", "random-n")


ALL: Final = Select()


def selector(text: str) -> Select:
    """The selector that this text says.

    Raises:
        UnknownName: there is none of that name.
        ConfigurationError: its number is missing, or too many.
    """
    found = _SELECT.fullmatch(text)
    name = found[1] if found else text
    if found is None or name not in SELECTORS:
        raise UnknownName("selector", name, SELECTORS, "`drawbar export --help` lists them.")
    if name in _NUMBERED and not int(found[2] or 0):
        raise ConfigurationError(f"Say how many of each task: --select {name}:4.")
    if name not in _NUMBERED and found[2] is not None:
        raise ConfigurationError(f"The selector {name} takes no number.")
    return Select(name, int(found[2] or 1))


@dataclass(frozen=True, slots=True)
class Dedupe:
    """Which sessions are the same."""

    exact: bool = False
    """All that was said is the same: their last messages are one node of the graph."""
    near: float | None = None
    """From which likeness on they are, too."""

    def __str__(self) -> str:
        return f"near:{self.near:g}" if self.near is not None else "exact" if self.exact else "none"


def dedupe(text: str) -> Dedupe:
    """What `none`, `exact`, `near` or `near:0.9` means.

    Raises:
        ConfigurationError: it means nothing.
    """
    if text in ("none", "exact"):
        return Dedupe(exact=text == "exact")
    name, colon, share = text.partition(":")
    if name != "near":
        raise ConfigurationError(
            f"Duplicates are none, exact, near or near:0.9, not {text!r}.{nearest(name, ('none', 'exact', 'near'))}"
        )
    likeness = _number(share, "a likeness", "--dedupe near:0.9") if colon else THRESHOLD
    if not 0 < likeness <= 1:
        raise ConfigurationError(f"Sessions are near duplicates from a likeness above 0 up to 1 on, not {share}.")
    return Dedupe(True, likeness)


def weights(text: str) -> dict[str, float]:
    """Shares by name: `wiki_search=2,shop=1`.

    Raises:
        ConfigurationError: it says none.
    """
    found: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, share = part.partition("=")
        weight = _number(share, f"the weight of {name.strip()}", "--mix wiki_search=2,shop=1") if equals else 0.0
        if not (name.strip() and 0 < weight < float("inf")) or name.strip() in found:
            raise ConfigurationError(
                f"A mixture names each environment once, with a weight above 0, not {part!r}: --mix wiki=2,shop=1."
            )
        found[name.strip()] = weight
    if not found:
        raise ConfigurationError("A mixture has environments and their weights: --mix wiki_search=2,shop=1.")
    return found


def sources(names: Iterable[str]) -> frozenset[Source]:
    """Where pairs are to come from; all of them where none is named.

    Raises:
        UnknownName: there is none of a name.
    """
    given = [name.strip() for text in names for name in text.split(",") if name.strip()]
    if unknown := [name for name in given if name not in SOURCES]:
        raise UnknownName("source of pairs", unknown[0], SOURCES, "`drawbar export --help` lists them.")
    known: Mapping[str, Source] = {name: name for name in SOURCES}  # type: ignore[misc]
    return frozenset(known[name] for name in given or SOURCES)


def _number(text: str, what: str, example: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"{what[0].upper()}{what[1:]} is a number, not {text!r}: {example}.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is chosen. In the order in which it happens; whatever is left out is counted by the first rule."""

    held_out: HeldOutTasks | None = None
    """Tasks that nothing may be trained on."""
    tasks: Filter = EVERYTHING
    """Which tasks, by how their rollouts did: `task_filter`."""
    pass_threshold: float = PASS_THRESHOLD
    """From which reward on a rollout has solved its task; what labels go by where nobody gave a thumb."""
    dedupe: Dedupe = field(default_factory=Dedupe)
    """Of duplicates the one with the highest reward is kept, then the oldest; if nothing else is chosen, the oldest."""
    select: Select = ALL
    """What is taken of each task."""
    pairs: frozenset[Source] = field(default_factory=lambda: sources(()))
    """Where pairs come from, in a format that has pairs."""
    margin: float = 0.0
    """By how much the better one's reward is higher at least; 0: by anything."""
    whole: bool = False
    """Whether a pair tells all that followed, where the format can, not the first reply alone."""
    per_task: int | None = None
    """At most so many sessions (or pairs) of a task. None: of sessions any number, of pairs `PAIRS_PER_TASK`."""
    split: float | None = None
    """The share of tasks that goes into a second file."""
    per_environment: int | None = None
    """At most so many of an environment."""
    mix: Mapping[str, float] = field(default_factory=dict)
    """How many there are of each environment against the others."""

    @property
    def looks_ahead(self) -> bool:
        """Whether all sessions must have been seen before it is known which are taken."""
        asked = (self.held_out, self.tasks.condition, self.dedupe.near, self.per_task, self.split, self.per_environment)
        return any(it is not None for it in asked) or self.select != ALL or bool(self.mix)

    def to_json(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {
            "held_out": None if self.held_out is None else self.held_out.names,
            "group": self.tasks.text,
            "pass_threshold": self.pass_threshold,
            "dedupe": str(self.dedupe),
            "select": str(self.select),
            "pairs": sorted(self.pairs),
            "margin": self.margin,
            "whole": self.whole,
            "per_task": self.per_task,
            "split": self.split,
            "per_environment": self.per_environment,
            "mix": dict(self.mix),
        }


EVERY_SESSION: Final = Choice()
"""Nothing is chosen."""

Order: TypeAlias = Callable[[str], bytes]
"""Where a session comes among others that are as good."""


def order(seed: int) -> Order:
    """An order that the seed decides, and nothing else: a session's place among others does not hang on them."""
    key = str(seed).encode()[:64]
    return lambda id: blake2b(id.encode(), key=key, digest_size=8).digest()
