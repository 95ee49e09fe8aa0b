"""What happens in a run, for whoever watches it: a progress display, a test, a log. Listeners are plain functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from drawbar.record.rows import RunRow
from drawbar.rollout.report import Tally
from drawbar.rollout.result import RolloutResult


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The first event. `total` counts rollouts; of a long generator of tasks it is what there can be at most."""

    run: RunRow
    total: int
    tally: Tally
    """Is added to while the run goes on."""


@dataclass(frozen=True, slots=True)
class RolloutStarted:
    """An attempt at a rollout begins."""

    task_key: str
    rollout: int
    attempt: int


@dataclass(frozen=True, slots=True)
class RolloutRetried:
    """An attempt failed for a cause that may go away; the next follows after `pause` seconds."""

    task_key: str
    rollout: int
    cause: str
    error: str | None
    pause: float


@dataclass(frozen=True, slots=True)
class RolloutFinished:
    """A rollout ended for good and is in the tally. `kept`: it was finished before the run was resumed."""

    result: RolloutResult
    kept: bool = False


@dataclass(frozen=True, slots=True)
class RunInterrupted:
    """Someone wants the run to stop; sessions under way are being ended."""


Event: TypeAlias = RunStarted | RolloutStarted | RolloutRetried | RolloutFinished | RunInterrupted
Listener: TypeAlias = Callable[[Event], None]
