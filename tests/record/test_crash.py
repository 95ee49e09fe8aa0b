"""A process killed at any moment leaves a store that opens, misses nothing that was answered, and shows what was
under way."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from drawbar.record.store import Store

SCRIPT = Path(__file__).with_name("under_load.py")


def _kill_under_load(url: str, moment: int) -> list[list[str]]:
    """Run the load, kill it after its `moment`th line, and return every line that it printed."""
    process = subprocess.Popen([sys.executable, str(SCRIPT), url], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(moment)]
        process.kill()
        lines += process.stdout.readlines()
    assert process.returncode == -9
    assert all(lines), "the load ended by itself"
    return [line.split() for line in lines if line.endswith("\n")]


def _check(store: Store, printed: list[list[str]]) -> int:
    """Everything that was printed is there, whole. Returns how many calls were under way."""
    sessions = {session.id: store.trajectory(session.id) for session in store.sessions()}
    calls = {(id, call.id): call for id, trajectory in sessions.items() for call in trajectory.calls}
    tools = {(id, call.id): call for id, trajectory in sessions.items() for call in trajectory.tool_calls}
    for kind, session, id, n in printed:
        if kind == "tool":
            assert tools[session, id].status == "answered"
            assert tools[session, id].result == {"content": []}
            continue
        call = calls[session, id]
        assert call.status == "answered"
        assert call.message is not None
        assert call.message.text.startswith(f"answer {n} of {session} ")
        path = [node.message.text for node in sessions[session].path(call.reply)]
        assert path[0].startswith(f"question 0 of {session} ")
        assert path[-2].startswith(f"question {n} of {session} ")
    unfinished = 0
    for trajectory in sessions.values():
        open_calls = sum(call.status == "started" for call in trajectory.calls)
        names = [finding.name for finding in trajectory.health]
        assert names.count("unfinished_call") == open_calls
        assert "missing_message" not in names
        unfinished += open_calls
    return unfinished


def _kill_and_check(url: str, times: int) -> None:
    chance = random.Random(20261101)
    printed: list[list[str]] = []
    unfinished = 0
    for _ in range(times):
        printed += _kill_under_load(url, chance.randrange(50, 400))
        store = Store.open(url)
        unfinished = _check(store, printed)
        store.close()
    assert len(printed) >= 50 * times
    assert unfinished > 0


def test_nothing_that_was_answered_is_lost_when_the_process_is_killed(store_url: str) -> None:
    _kill_and_check(store_url, times=2)


@pytest.mark.slow
def test_nothing_that_was_answered_is_lost_when_the_process_is_killed_fifty_times(tmp_path: Path) -> None:
    for round in range(10):
        _kill_and_check(f"sqlite:///{tmp_path / f'{round}.db'}", times=5)
