"""What stands around a conversation, for formats that tell of whole traces: scores, the task, how it ended, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from drawbar.export.sample import Sample
from drawbar.trajectory import Call, Trajectory


def whole(sample: Sample) -> Trajectory:
    """The session; the format asks for it (`trajectory`)."""
    assert sample.trajectory is not None
    return sample.trajectory


def calls_of(sample: Sample) -> dict[str, Call]:
    """The session's model calls by id."""
    return {call.id: call for call in whole(sample).calls}


def around(sample: Sample) -> dict[str, Any]:
    """What the trace's own format has no field for."""
    session, task = whole(sample), sample.task
    told: dict[str, Any] = {
        "session": session.id,
        "thread": sample.thread if sample.thread != "main" else None,
        "run": session.run,
        "environment": session.environment,
        "environment_version": session.environment_version,
        "task": None if task is None else orjson.loads(task.to_json()),
        "stop": session.stop,
        "error": session.error,
        "started": session.started,
        "ended": session.ended,
        "reward": sample.grade.reward,
        "scores": scores_of(sample),
        "metadata": dict(session.metadata),
    }
    return {name: value for name, value in told.items() if value not in (None, [], {})}


def scores_of(sample: Sample) -> list[dict[str, Any]]:
    """The rubric's newest scores, and people's last feedback."""
    session = whole(sample)
    feedback = {score.name: score for score in session.scores if score.kind == "feedback"}
    found = []
    for score in (*session.newest_scores, *feedback.values()):
        told: Mapping[str, Any] = {
            "name": score.name, "kind": score.kind, "value": score.value, "weight": score.weight,
            "rubric_version": score.rubric_version or None, "explanation": score.explanation, "error": score.error,
        }  # fmt: skip
        found.append({name: value for name, value in told.items() if value is not None})
    return found


def iso(seconds: float | None) -> str | None:
    """A time in ISO 8601, in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
