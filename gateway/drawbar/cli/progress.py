"""How a run goes, while it goes: a live display on a terminal, plain lines elsewhere. Always on standard error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.text import Text

from drawbar.cli.output import counted
from drawbar.rollout.events import (
    Event,
    Listener,
    RolloutFinished,
    RolloutRetried,
    RolloutStarted,
    RunInterrupted,
    RunStarted,
)
from drawbar.rollout.report import Tally

PLAIN_SECONDS = 5.0
"""Between plain lines."""
STOPPING = "Stopping: sessions are being ended. Ctrl-C again to leave at once."
NOTES = 5
"""So many single retries are told of; after them the counts say enough."""


class _State:
    """What every display shows."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.total = 0
        self.running = 0
        self.retries = 0
        self.run = ""

    def take(self, event: Event) -> None:
        match event:
            case RunStarted(run=run, total=total, tally=tally):
                self.run, self.total, self.tally = run.id, total, tally
            case RolloutStarted():
                self.running += 1
            case RolloutRetried():
                self.running -= 1
                self.retries += 1
            case RolloutFinished(kept=False):
                self.running -= 1

    @property
    def words(self) -> str:
        mean = "" if self.tally.mean is None else f"reward {self.tally.mean:.3f}  "
        errors = "".join(f"{cause} {count}  " for cause, count in self.tally.errors.items())
        retries = f"{self.retries} retried  " if self.retries else ""
        return f"{max(self.running, 0)} running  {mean}{retries}{errors}".rstrip()


@contextmanager
def progress(stream: IO[str], *, quiet: bool = False) -> Iterator[Listener]:
    """A listener that shows what happens."""
    console = Console(file=stream)
    if quiet:
        yield lambda event: None
    elif console.is_terminal:
        with _live(console) as listener:
            yield listener
    else:
        yield _plain(stream)


class _Display(Progress):
    """A bar, and below it what cannot stand in its line: on a narrow terminal words would take the bar's place."""

    words = "starting"

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(f"  {self.words}", style="dim")


@contextmanager
def _live(console: Console) -> Iterator[Listener]:
    state = _State()
    bar = _Display(
        SpinnerColumn(), BarColumn(bar_width=None), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("left"), TimeLeft(), console=console, refresh_per_second=5, transient=True,
    )  # fmt: skip
    shown = bar.add_task("", total=None)

    def listen(event: Event) -> None:
        state.take(event)
        if isinstance(event, RunStarted):
            bar.console.print(Text(_begins(state), style="dim"))
        elif isinstance(event, RunInterrupted):
            bar.console.print(Text(STOPPING, style="bold"))
        elif isinstance(event, RolloutRetried) and state.retries <= NOTES:
            bar.console.print(Text(_retry(event), style="yellow"))
        bar.words = state.words
        bar.update(shown, total=state.total or None, completed=state.tally.rollouts)

    with bar:
        yield listen


def _plain(stream: IO[str]) -> Listener:
    state = _State()
    last = began = 0.0

    def say(text: str) -> None:
        stream.write(text + "\n")
        stream.flush()

    def listen(event: Event) -> None:
        nonlocal last, began
        state.take(event)
        now = time.monotonic()
        if isinstance(event, RunStarted):
            last = began = now
            say(_begins(state))
        elif isinstance(event, RunInterrupted):
            say(STOPPING)
        elif isinstance(event, RolloutRetried) and state.retries <= NOTES:
            say(_retry(event))
        elif isinstance(event, RolloutFinished) and (state.tally.rollouts == state.total or now - last > PLAIN_SECONDS):
            last = now
            say(f"{state.tally.rollouts}/{state.total} rollouts  {state.words}{_left(state, now - began)}")

    return listen


def _begins(state: _State) -> str:
    return f"{state.run}: {counted(state.total, 'rollout')}. Ctrl-C stops; it can be resumed."


def _retry(event: RolloutRetried) -> str:
    why = " ".join((event.error or "").split())[:160]
    return f"task {event.task_key}: {event.cause}, again in {event.pause:.1f} s. {why}".rstrip()


def _left(state: _State, seconds: float) -> str:
    fresh = state.tally.rollouts - state.tally.kept
    missing = state.total - state.tally.rollouts
    return f"  about {seconds / fresh * missing:.0f} s left" if fresh and missing > 0 else ""
