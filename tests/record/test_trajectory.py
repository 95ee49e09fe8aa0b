"""Trajectories: a recorded session read back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from drawbar.record.rows import CallRow, ScoreRow, SessionRow
from drawbar.record.store import Store
from drawbar.task import Limits, Task
from drawbar.trajectory import Score, Trajectory

if TYPE_CHECKING:
    from tests.record.conftest import Recording

QUESTION = {"role": "user", "content": "Who wrote it?"}
ANSWER = {"role": "assistant", "content": "Ada wrote it."}


def test_a_healthy_session_reads_as_it_went(store: Store, recording: Recording) -> None:
    task = Task(prompt="Who wrote it?", answer="Ada", key="t", limits=Limits(turns=3))
    recording.rows[0] = SessionRow(
        id=recording.id,
        run="r",
        environment="wiki",
        environment_version="1",
        task=task.to_json(),
        rollout=1,
        attempt=2,
        harness="loop",
        model="m",
        status="ended",
        stop="completed",
        started=1.0,
        ended=2.0,
        metadata=b'{"who":"me"}',
    )
    recording.with_tool("Ada, 1843", recording.gave("Ada, 1843"))
    recording.rows.append(
        ScoreRow(
            id="x", session=recording.id, name="correct", kind="reward", value=1.0, weight=1.0, rubric_version="v",
            source="rollout", usage=b'{"cost":0.5}', created=3.0,
        )
    )  # fmt: skip
    found = recording.read(store)
    assert found.task == task
    assert (found.environment, found.harness, found.rollout, found.attempt) == ("wiki", "loop", 1, 2)
    assert (found.stop, found.ended, found.metadata) == ("completed", 2.0, {"who": "me"})
    assert [m.role for m in found.messages] == ["user", "assistant", "tool", "assistant"]
    assert found.completion == "Ada wrote it."
    assert found.turns == 2
    assert [node.depth for node in found.nodes.values()] == [0, 1, 2, 3]
    [tool_call] = found.tool_calls
    assert (tool_call.tool_use_id, tool_call.seen, tool_call.text) == ("call_1", "same", "Ada, 1843")
    assert found.reward == 1.0
    assert found.scores[0].usage == {"cost": 0.5}
    assert found.health == []


def test_a_session_of_which_only_the_start_is_known_can_be_read(store: Store, recording: Recording) -> None:
    found = recording.read(store)
    assert (found.calls, found.tool_calls, found.nodes, found.health) == ([], [], {}, [])


def test_sixty_messages_come_back_in_order(store: Store, recording: Recording) -> None:
    said: list[dict[str, Any]] = []
    for n in range(30):
        said.append(recording.user(f"question {n}"))
        recording.call(list(said), recording.says(f"answer {n}"))
        said.append(recording.says(f"answer {n}"))
    found = recording.read(store)
    assert [m.text for m in found.messages] == [m["content"] for m in said]
    assert len(list(found.branches)) == 1


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "one after the other"])
def test_sessions_that_reason_differently_before_the_same_words_keep_their_own_thoughts(
    store: Store, new_recording: Callable[..., Recording], together: bool
) -> None:
    thoughts = ["first this", "rather that", "first this", "or so"]
    recordings = [new_recording() for _ in thoughts]
    for recording, thought in zip(recordings, thoughts, strict=True):
        recording.call([QUESTION], recording.says("Ada", reasoning_content=thought))
    if together:
        store.write([row for recording in recordings for row in recording.rows])
    else:
        for recording in recordings:
            store.write(recording.rows)
    found = [store.trajectory(recording.id) for recording in recordings]
    replies = [trajectory.calls[0] for trajectory in found]
    assert len({reply.reply for reply in replies}) == 1
    assert [reply.message.reasoning for reply in replies if reply.message] == thoughts
    assert [trajectory.messages[-1].reasoning for trajectory in found] == thoughts


def test_a_reply_is_kept_once_where_the_node_holds_it(
    store: Store, recording: Recording, count: Callable[[Store, str], int]
) -> None:
    recording.with_tool("x", recording.gave("x"))
    recording.read(store)
    assert count(store, "blob") == 0


def test_what_people_say_of_a_session_changes_no_reward() -> None:
    own = Score(name="correct", kind="reward", value=1.0, weight=1.0, rubric_version="v", created=1.0)
    said = Score(
        name="liked", kind="feedback", value=0.0, weight=0.0, rubric_version="", source="feedback", created=2.0
    )
    found = Trajectory(id="ses_1", scores=(own, said))
    assert (found.reward, found.newest_scores) == (1.0, [own])


def test_the_calls_of_a_session_from_before_their_tree_was_written_down_are_stitched_on_reading(
    sqlite_store: Store, recording: Recording
) -> None:
    hi, ho = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}
    recording.call([hi], ho)
    recording.call([hi, ho, {"role": "user", "content": "and?"}], {"role": "assistant", "content": "no"})
    recording.call([hi, {"role": "user", "content": "what?"}], ho)
    recording.rows = [
        replace(row, follows=None, edge=None) if isinstance(row, CallRow) else row for row in recording.rows
    ]
    trajectory = recording.read(sqlite_store)
    first = trajectory.calls[0].id
    assert [(call.follows, call.edge) for call in trajectory.calls] == [(None, None), (first, "exact"), (first, "none")]
    assert [thread.name for thread in trajectory.threads] == ["main"]
