"""Why a rollout ended, and what follows from it: the one table of causes.

`retry`: trying the same rollout again may help. `score`: the rubric runs on what was recorded. `count`: the rollout
enters the mean reward; one that does not count is reported as invalid, never as zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Cause:
    """One row of the table."""

    name: str
    retry: bool
    score: bool
    count: bool
    meaning: str


_TABLE: Final = (
    #     name                 retry  score  count  meaning
    Cause("completed", False, True, True, "the agent gave its final answer"),
    Cause("limit_turns", False, True, True, "stopped at the limit of turns"),
    Cause("limit_tokens", False, True, True, "stopped at the limit of tokens"),
    Cause("limit_cost", False, True, True, "stopped at the limit of cost"),
    Cause("limit_time", False, True, True, "stopped at the limit of wall time"),
    Cause("context_overflow", False, True, True, "the conversation outgrew the model's context"),
    Cause("agent_failed", False, True, True, "the agent gave up or exited with an error of its own"),
    Cause("upstream_rate_limited", True, False, False, "the model's provider refused for rate, to the last retry"),
    Cause("upstream_unavailable", True, False, False, "the model was not reached or answered 5xx, to the last retry"),
    Cause("upstream_rejected", False, False, False, "the model's provider refused the request (4xx)"),
    Cause("upstream_broken", True, False, False, "the model's answer broke off or could not be read"),
    Cause("tool_timeout", False, True, True, "a tool did not answer in time"),
    Cause("tool_server_failed", True, False, False, "a tool server could not be started or reached"),
    Cause("cassette_missed", False, False, False, "a cassette had no answer to more tool calls than allowed"),
    Cause("user_failed", True, False, False, "the simulated user said nothing that could be used"),
    Cause("harness_failed", True, False, False, "the harness crashed or broke its contract"),
    Cause("scorer_failed", False, True, False, "a reward function raised or a judge gave no verdict"),
    Cause("recorder_failed", False, False, False, "the store could not be written"),
    Cause("bad_request", False, False, False, "the client sent something that cannot be read"),
    Cause("client_left", False, False, False, "the client closed the connection"),
    Cause("cancelled", True, False, False, "the run was interrupted"),
)

CAUSES: Final = {cause.name: cause for cause in _TABLE}
"""Every cause by name."""
