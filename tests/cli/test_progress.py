"""What a person sees while a run goes on: plain lines where there is no terminal, a bar that changes where there is."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import pytest
from rich.console import Console

from drawbar.causes import CAUSES
from drawbar.cli import progress as module
from drawbar.cli.progress import progress
from drawbar.record.rows import RunRow
from drawbar.rollout.events import RolloutFinished, RolloutRetried, RolloutStarted, RunInterrupted, RunStarted
from drawbar.rollout.report import Tally
from drawbar.rollout.result import RolloutResult

RUN = RunRow(
    id="run_1", environment="e", environment_version="1", rubric_version="v", harness="loop", model="m", rollouts=1,
    started=0.0,
)  # fmt: skip


def finished(reward: float | None, cause: str = "completed") -> RolloutResult:
    return RolloutResult(
        session="s", task_key="t", task_hash="t", rollout=0, attempt=0, cause=cause, error=None, reward=reward,
        scores={}, weights={}, turns=1, tool_calls=0, prompt_tokens=0, completion_tokens=0, cached_tokens=0,
        reasoning_tokens=0, cost=None, seconds=1.0, call_seconds=(), tool_seconds=(),
    )  # fmt: skip


def played(stream: io.StringIO, **options: Any) -> str:
    """What a run of two rollouts writes: the first is tried twice, the second is invalid."""
    tally = Tally()
    with progress(stream, **options) as listen:
        listen(RunStarted(RUN, 2, tally))
        listen(RolloutStarted("t", 0, 0))
        listen(RolloutRetried("t", 0, "upstream_unavailable", "no\nanswer", 1.25))
        for result in (finished(1.0), finished(None, "upstream_rejected")):
            listen(RolloutStarted("t", 0, 1))
            tally.add(result)
            listen(RolloutFinished(result))
    return stream.getvalue()


def test_plain_lines_tell_the_beginning_retries_and_the_end() -> None:
    assert played(io.StringIO()).splitlines() == [
        "run_1: 2 rollouts. Ctrl-C stops; it can be resumed.",
        "task t: upstream_unavailable, again in 1.2 s. no answer",
        "2/2 rollouts  0 running  reward 1.000  1 retried  upstream_rejected 1",
    ]


def test_who_wants_quiet_gets_it() -> None:
    assert played(io.StringIO(), quiet=True) == ""


def test_a_terminal_shows_a_bar_with_the_mean_so_far_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def terminal(file: io.StringIO) -> Console:
        return Console(file=file, force_terminal=True, width=160, color_system=None)

    monkeypatch.setattr(module, "Console", terminal)
    shown = played(io.StringIO())
    assert "2/2" in shown
    assert "reward 1.000" in shown
    assert "upstream_rejected 1" in shown
    assert "task t: upstream_unavailable, again in 1.2 s. no answer" in shown


@pytest.mark.parametrize("terminal", [False, True])
def test_that_a_run_is_being_stopped_is_told(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr(module, "Console", partial(Console, force_terminal=terminal, width=100, color_system=None))
    stream = io.StringIO()
    with progress(stream) as listen:
        listen(RunStarted(RUN, 2, Tally()))
        listen(RunInterrupted())
    assert "Ctrl-C again to leave at once." in stream.getvalue()


def test_a_narrow_terminal_keeps_the_bar_however_much_there_is_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Console", partial(Console, force_terminal=True, width=60, color_system=None))
    stream, tally = io.StringIO(), Tally()
    bad = [name for name, cause in CAUSES.items() if not cause.count]
    with progress(stream) as listen:
        listen(RunStarted(RUN, 400, tally))
        for cause in bad:
            tally.add(finished(None, cause))
            listen(RolloutFinished(finished(None, cause)))
    assert f"{len(bad)}/400 " in " ".join(stream.getvalue().split())
    assert "client_left 1" in " ".join(stream.getvalue().split())
