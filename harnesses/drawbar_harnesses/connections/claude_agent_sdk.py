"""Claude Agent SDK: it brings Claude Code along, and passes variables to it."""

from __future__ import annotations

from typing import Final

from drawbar.connection import Gate, Setup
from drawbar_harnesses.connections import ALLOWED, Described, model_of
from drawbar_harnesses.connections.snippet import snippet


def _setup(gate: Gate) -> Setup:
    program = "claude_agent.py"
    return Setup(
        code=snippet(program, gate, model_of(gate)),
        program=program,
        instead={"ANTHROPIC_BASE_URL": gate.base_url, "ANTHROPIC_API_KEY": gate.key},
        run=f"python {program}",
        notes=[] if gate.mcp_url is None else [ALLOWED],
    )


CONNECTION: Final = Described(
    "Claude Agent SDK", "messages", "2026-07-28", "2 variables, or 1 line of code", _setup, "frameworks"
)
