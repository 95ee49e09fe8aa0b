"""`drawbar watch` where there is no terminal: a line for each thing that happens."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from drawbar.cli.output import SHORT, counted
from drawbar.cli.watch_cells import age, amount, dollars, feedback, means, plain, scores, summary, who
from drawbar.watching.changes import Begun, Change, Gone, Pulse, Trouble, Watched

EVERY: Final = 10.0
"""Seconds between lines about all of it."""


class Plain:
    """Turns changes into lines."""

    def __init__(self) -> None:
        self._sessions: dict[str, Watched] = {}
        self._quiet = True
        """Whether what is told was there before we looked."""
        self._said = 0.0
        self._trouble: str | None = None

    def lines(self, changes: Iterable[Change]) -> Iterator[str]:
        """What these changes have to say."""
        for change in changes:
            at = time.strftime("%H:%M:%S")
            for said in self._of(change):
                yield f"{at} {said}"

    def _of(self, change: Change) -> Iterator[str]:
        match change:
            case Begun():
                self._sessions.clear()
                self._quiet, self._said = True, 0.0
            case Gone():
                self._sessions.pop(change.id, None)
            case Watched():
                before, self._sessions[change.id] = self._sessions.get(change.id), change
                if not self._quiet:
                    yield from _happened(before, change)
            case Trouble():
                if change.message != self._trouble:
                    yield change.message
                self._trouble = change.message
            case Pulse():
                self._quiet, self._trouble = False, None
                if change.time - self._said >= EVERY:
                    self._said = change.time
                    yield f"{summary(change)} · {means(change.rewards)}"


def _happened(before: Watched | None, now: Watched) -> Iterator[str]:
    """What has become of a session."""
    name = now.id[:SHORT]
    if before is None:
        parts = (now.agent, now.model, who(now), now.environment, now.task)
        yield f"{name} opened: {' · '.join(plain(part) for part in parts if part) or 'nothing is known of it yet'}"
    if now.status == "ended" and (before is None or before.status != "ended"):
        spent = (counted(now.turns, "turn"), f"{amount(now.tokens)} tokens", dollars(now.cost))
        took = age((now.ended or now.started) - now.started)
        yield f"{name} ended: {plain(now.stop)} after {took}, {', '.join(part for part in spent if part)}"
    if now.reward is not None and (before is None or (before.reward, before.rubric) != (now.reward, now.rubric)):
        said = scores(now)
        yield f"{name} reward {now.reward:.3f} by {now.rubric}" + (f" ({said})" if said else "")
    if now.feedback and (before is None or before.feedback != now.feedback):
        yield f"{name} feedback: {feedback(now)}"
    if now.health in ("warning", "defect") and (before is None or before.findings != now.findings):
        yield f"{name} health: {now.health}: {', '.join(now.findings)}"
