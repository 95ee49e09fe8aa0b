"""What deleting has freed so far, and how much of it is done at a time. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 0.04
"""Seconds for which a step of deleting may hold the store, as a rule: whoever records waits for it."""


@dataclass(slots=True)
class Freed:
    """What is gone."""

    sessions: int = 0
    calls: int = 0
    tool_calls: int = 0
    scores: int = 0
    nodes: int = 0
    blobs: int = 0
    bytes: int = 0
    """Of bodies, as they lay in the store."""
    kept_for_now: int = 0
    """Nodes and blobs that perhaps nobody needs, but that a running gateway may still take for stored."""


class Pace:
    """How many rows a step takes, such that it takes as long as it should."""

    def __init__(self, least: int, most: int) -> None:
        """With fewer rows than `least`, a step is as long for what each takes by itself."""
        self.rows = least
        self.seconds = 0.0
        """How long the last step has taken."""
        self._least, self._most = least, most

    @contextmanager
    def timed(self) -> Iterator[int]:
        """One step, of so many rows."""
        began = time.monotonic()
        yield self.rows
        self.seconds = time.monotonic() - began
        if self.seconds > LONGEST:
            self.rows = max(self._least, self.rows // 2)
        elif self.seconds < LONGEST / 3:
            self.rows = min(self._most, self.rows * 2)
