"""How agents that the user has are connected to a gateway, a description each: what `drawbar connect` says and writes.

What a harness writes for its agent and what the agent's user is told to write is said once, here, and used by both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drawbar.connection import Gate, Setup

SERVER: Final = "drawbar"
"""The name under which agents know the gateway and its tools: it is part of the names that models see."""
ALLOWED: Final = "The agent may call these tools without asking you each time."


@dataclass(frozen=True, slots=True)
class Described:
    """A `drawbar.connection.Connection`."""

    title: str
    dialect: str
    mcp: str | None
    needs: str
    build: Callable[[Gate], Setup]

    def setup(self, gate: Gate, /) -> Setup:
        return self.build(gate)


def example(dialect: str) -> str:
    """A model for where one must be named and the user named none."""
    return {"messages": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}.get(dialect, "gpt-5-mini")
