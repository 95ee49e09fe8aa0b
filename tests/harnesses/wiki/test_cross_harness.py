"""One environment and one policy under different harnesses: the same reward, and trajectories that can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from drawbar.rollout.harnesses import harness_factory, load_harness

HARNESSES = ("loop", "claude_code", "codex")
TASKS = ("sci-density-dispute-birthplace", "sci-adams-prize-moon-aircraft", "arts-variations-museum-building")
FOREIGN = [name for name in HARNESSES if name != "loop"]


def missing() -> Sequence[str]:
    return [name for name in FOREIGN if not harness_factory(name).install.installed]


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=f"not installed: drawbar harness install {' '.join(missing())}")
async def test_one_policy_does_the_same_under_the_loop_claude_code_and_codex(stage: Any) -> None:
    assert stage.environment.observation == "text"
    tasks = {task.key: task for task in stage.environment.iter_tasks()}
    for key in TASKS:
        plays = [await stage.run(load_harness(name), tasks[key], model="oracle") for name in HARNESSES]
        assert [await stage.reward(play) for play in plays] == [1.0] * len(plays)
        ours, *others = [did(play.trajectory) for play in plays]
        assert len(ours) > 3
        for other in others:
            assert other == ours
        assert [play.trajectory.completion for play in plays] == [plays[0].trajectory.completion] * len(plays)
        for play in plays:
            assert {each.name for each in play.trajectory.health} <= {"lossy_translation"}  # the policy speaks chat
            assert {call.seen for call in play.trajectory.tool_calls} <= {"same", "wrapped"}
            assert all(shown in text for text, shown in read(play.trajectory))


def did(trajectory: Any) -> list[Any]:
    """Turn by turn: which tools were called, with what, and what they said. Those of one turn may run in any order."""
    calls = {call.tool_use_id: (call.tool, str(call.arguments), call.text) for call in trajectory.tool_calls}
    return [sorted(calls[use.id] for use in call.message.tool_uses) for call in trajectory.calls]


def read(trajectory: Any) -> list[tuple[str, str]]:
    """Of each tool call: what the model read, and what the tool said."""
    said = {call.tool_use_id: call.text.strip() for call in trajectory.tool_calls}
    return [(each.text, said[each.tool_use_id]) for message in trajectory.messages for each in message.tool_results]
