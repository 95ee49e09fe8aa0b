"""What a rule's measure comes to now: asked of the store, or of the gateway's own recorder."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from drawbar.alerts.rule import AlertRule
from drawbar.record import observing
from drawbar.record.filter import where
from drawbar.record.observing import Among, Seen

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from drawbar.record.recorder import Recorder
    from drawbar.record.store import Store


def observe(store: Store, rule: AlertRule, now: float) -> Seen:
    """What the store says. Blocking; raises `StoreError`."""
    among = Among(where(rule.where, now=now), now, now - rule.seconds, rule.last)
    with store.reading() as connection:
        return _seen(connection, rule, among)


def _seen(connection: Connection, rule: AlertRule, among: Among) -> Seen:
    match rule.kind:
        case "reward":
            return observing.rewards(connection, among, rule.rubric)
        case "score.NAME":
            return observing.scores(connection, among, str(rule.key), rule.rubric)
        case "feedback":
            return observing.feedback(connection, among, rule.key)
        case "defect_rate":
            return observing.defects(connection, among)
        case "error_rate":
            return observing.failed_calls(connection, among)
        case "tool_error_rate":
            return observing.failed_tool_calls(connection, among)
        case "cost":
            return observing.cost(connection, among)
    raise ValueError(f"The store knows nothing of {rule.measure}.")


class RecorderWatch:
    """What one gateway's recorder comes to, over time."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._lost: deque[tuple[float, int]] = deque([(0.0, 0)], maxlen=1000)

    def observe(self, rule: AlertRule, now: float) -> Seen:
        """What the recorder says."""
        if rule.measure == "recorder_failing":
            return Seen(value=float(self._recorder.failing), count=1)
        if rule.measure == "recorder_spooled":
            return Seen(value=float(self._recorder.spooled), count=1)
        if self._recorder.lost != self._lost[-1][1]:
            self._lost.append((now, self._recorder.lost))
        before = max((lost for at, lost in self._lost if at <= now - rule.seconds), default=0)
        return Seen(value=float(self._recorder.lost - before), count=1)
