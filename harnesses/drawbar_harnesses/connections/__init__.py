"""How agents that the user has are connected to a gateway, a description each: what `drawbar connect` says and writes.

What a harness writes for its agent and what the agent's user is told to write is said once, here, and used by both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    kind: str = "agents"

    needs_model: bool = True
    """Whether a model must be named: without, the agent asks for its own."""

    def setup(self, gate: Gate, /) -> Setup:
        if gate.model is not None or not self.needs_model:
            return self.build(gate)
        example = _EXAMPLES.get(self.dialect, "gpt-5-mini")
        return replace(self.build(replace(gate, model=example)), example=example)


_EXAMPLES: Final = {"messages": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}


def model_of(gate: Gate) -> str:
    """Where `needs_model` holds."""
    assert gate.model is not None
    return gate.model
