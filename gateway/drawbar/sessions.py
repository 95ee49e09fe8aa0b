"""Sessions in memory: what both sides of the gateway know of an agent at work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drawbar.record.rows import SessionRow
from drawbar.task import Limits, Task

if TYPE_CHECKING:
    from drawbar.environment import Environment
    from drawbar.record.graph import SessionGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """What a session is opened with."""

    environment: str | None = None
    task: Task | None = None
    run: str | None = None
    rollout: int = 0
    attempt: int = 0
    harness: str | None = None
    model: str | None = None
    """Where its requests go whatever model they name; None: to the model that each request names."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Set on every request."""
    seed: int | None = None
    limits: Limits = field(default_factory=Limits)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Session:
    """One open session. Counters only grow; state changes here contain no `await`."""

    row: SessionRow
    key: str
    environment: Environment | None
    task: Task | None
    limits: Limits
    sampling: Mapping[str, Any]
    graph: SessionGraph
    turns: int = 0
    tokens: int = 0
    cost: float = 0.0
    calls: int = 0
    tool_calls: int = 0
    stop: str | None = None
    """A cause once it has ended (or must not go on)."""

    @property
    def id(self) -> str:
        return self.row.id

    def next_call(self) -> int:
        """The position of a model call that starts now."""
        self.calls += 1
        return self.calls - 1

    def next_tool_call(self) -> int:
        """The position of a tool call that starts now."""
        self.tool_calls += 1
        return self.tool_calls - 1
