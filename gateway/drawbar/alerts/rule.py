"""One alert as it is configured: what is measured, over what, from where on it is bad and from where on good again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from drawbar.errors import ConfigurationError, nearest
from drawbar.record.filter import where as read_filter

Of: TypeAlias = Literal["sessions", "calls", "dollars", "gateway"]

MEASURES: Final[Mapping[str, tuple[Of, str]]] = {
    "reward": ("sessions", "the mean reward"),
    "score.NAME": ("sessions", "the mean of the score of that name"),
    "feedback": ("sessions", "the mean of what people said, or of feedback.NAME"),
    "defect_rate": ("sessions", "the share of sessions whose record has a defect"),
    "error_rate": ("calls", "the share of model calls that failed"),
    "tool_error_rate": ("calls", "the share of tool calls that failed"),
    "cost": ("dollars", "US dollars in all"),
    "recorder_failing": ("gateway", "1 while this gateway cannot write the store"),
    "recorder_spooled": ("gateway", "bytes that wait in this gateway's spool"),
    "recorder_lost": ("gateway", "rows that this gateway lost"),
}
"""What can be measured, and what it is measured of."""

FEWEST: Final = 20
"""Observations that it takes to say anything, where the rule says nothing else."""
WINDOW: Final = 3600.0
LONGEST: Final = 7 * 86400.0
"""Seconds that are looked back for the last sessions or calls, where the rule says nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """What `[alerts.NAME]` says.

    Raises:
        ConfigurationError: it cannot be meant.
    """

    name: str
    measure: str
    below: float | None = None
    """It is bad below this."""
    above: float | None = None
    """It is bad above this."""
    clear: float | None = None
    """From where on it is good again; None: from the same."""
    last: int | None = None
    """How many of the newest sessions or calls; None: all in the window."""
    window: float | None = None
    """Seconds, up to now."""
    where: str = ""
    """Which live sessions, in the language of filters."""
    rubric: str | None = None
    """Whose rewards and scores: a version, or its beginning. None: the one that most of the sessions have."""
    at_least: int | None = None
    """Observations below which nothing is said."""
    lasting: float = 0.0
    """Seconds for which it must be bad all the time."""
    repeat: float | None = None
    """Seconds after which it is told again, while it is bad; None: never."""
    webhooks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = MEASURES.get(self.kind)
        if known is None or (self.kind == "score.NAME" and self.key is None):
            raise ConfigurationError(f"nothing is measured as {self.measure!r}.{nearest(self.measure, MEASURES)}")
        if (self.below is None) == (self.above is None) and not self.local:
            raise ConfigurationError("it needs one of `below` and `above`: from where on it is bad")
        if self.local and (self.below is not None or self.where or self.last is not None):
            raise ConfigurationError(f"{self.measure} is of the gateway itself: it takes `above`, no `where` or number")
        wrong = self.clear is not None and (
            self.clear < self.limit if self.below is not None else self.clear > self.limit
        )
        if wrong:
            side = "not less than `below`" if self.below is not None else "not more than `above`"
            raise ConfigurationError(f"`clear`, from where on it is good again, is {side}: not {self.clear:g}")
        if self.last is not None and self.fewest > self.last:
            raise ConfigurationError(f"of the last {self.last} there are never {self.at_least}: it would say nothing")
        if self.rubric is not None and self.of != "sessions":
            raise ConfigurationError(f"{self.measure} is of no rubric")
        read_filter(self.where)

    @property
    def kind(self) -> str:
        """The measure, as `MEASURES` has it."""
        name, dot, _ = self.measure.partition(".")
        return {"score": "score.NAME"}.get(name, name) if dot and name in ("score", "feedback") else self.measure

    @property
    def key(self) -> str | None:
        """Of a score or feedback its name."""
        return self.measure.partition(".")[2] or None

    @property
    def of(self) -> Of:
        """What it is measured of."""
        return MEASURES[self.kind][0]

    @property
    def local(self) -> bool:
        """Whether it is about one gateway, so that the store cannot tell."""
        return self.of == "gateway"

    @property
    def limit(self) -> float:
        """Beyond this it is bad."""
        return self.below if self.below is not None else self.above or 0.0

    @property
    def fewest(self) -> int:
        """Observations that it takes."""
        if self.of in ("dollars", "gateway"):
            return 0
        return self.at_least if self.at_least is not None else min(FEWEST, self.last or FEWEST)

    @property
    def seconds(self) -> float:
        """How far is looked back."""
        return self.window if self.window is not None else WINDOW if self.last is None else LONGEST

    def bad(self, value: float) -> bool:
        """Whether this is beyond the limit."""
        return value < self.limit if self.below is not None else value > self.limit

    def good(self, value: float) -> bool:
        """Whether this is good again."""
        clear = self.limit if self.clear is None else self.clear
        return value >= clear if self.below is not None else value <= clear

    @property
    def said(self) -> str:
        """When it is bad, in words."""
        return f"{self.measure} {'below' if self.below is not None else 'above'} {self.limit:g} ({self.span})"

    @property
    def span(self) -> str:
        """What it is measured over, in words."""
        if self.measure in ("recorder_failing", "recorder_spooled"):
            return "now"
        if self.last is not None:
            return f"the last {self.last} {self.counted}"
        return f"the last {length(self.seconds)}"

    @property
    def counted(self) -> str:
        """What is counted, in words."""
        return "tool calls" if self.measure == "tool_error_rate" else self.of


def length(seconds: float) -> str:
    """A length of time as configurations write it: `90s`, `5min`, `2h`, `7d`."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
