"""What a report needs to know of one rollout: a few numbers, so that a hundred thousand of them fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from drawbar.causes import CAUSES
from drawbar.record.rows import ScoreRow
from drawbar.tools.cassettes.drift import METADATA
from drawbar.trajectory import Score, Trajectory
from drawbar.user_part import account


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutResult:
    """One finished rollout, at its last attempt. Times in seconds, cost in US dollars."""

    session: str
    task_key: str
    task_hash: str
    rollout: int
    attempt: int
    cause: str
    """Why it ended, or `scorer_failed`: a name from `drawbar.causes`."""
    error: str | None
    reward: float | None
    scores: Mapping[str, float | None]
    weights: Mapping[str, float]
    rubric: str | None = None
    """The version of the rubric that gave these scores."""
    turns: int
    tool_calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: float | None
    judge_tokens: int = 0
    """What its judges were asked and said; no part of the agent's own account."""
    judge_cost: float | None = None
    seconds: float
    call_seconds: tuple[float, ...]
    tool_seconds: tuple[float, ...]
    unhealthy: tuple[str, ...] = ()
    """Names of what is not as it should be in its record."""
    defective: bool = False
    """Whether any of it is a defect: it trains nothing unless told otherwise."""
    cassettes: Sequence[Mapping[str, Any]] = ()
    """Where recorded tool calls answered: how well they did (`drawbar.tools.cassettes.drift`)."""
    user: Mapping[str, Any] | None = None
    """What whoever played its user did and spent (`drawbar.user_part.account`); no part of the agent's own account."""

    @property
    def valid(self) -> bool:
        """Whether it counts; one that does not is reported apart, never as zero."""
        return CAUSES[self.cause].count

    @property
    def key(self) -> tuple[str, int]:
        """Which rollout of which task it is."""
        return self.task_hash, self.rollout

    @classmethod
    def of(cls, trajectory: Trajectory) -> RolloutResult:
        """The result of a recorded rollout (of a session that has a task)."""
        scores = trajectory.newest_scores
        judged = [score.usage for score in trajectory.scores if score.usage]
        return cls(
            session=trajectory.id,
            task_key=trajectory.task.key if trajectory.task else "",
            task_hash=trajectory.task.hash if trajectory.task else "",
            rollout=trajectory.rollout,
            attempt=trajectory.attempt,
            cause=_scored_cause(cause_of(trajectory), scores),
            error=trajectory.error or _complaint(trajectory, scores),
            reward=trajectory.reward,
            scores={score.name: score.value for score in scores},
            weights={score.name: score.weight for score in scores},
            rubric=scores[0].rubric_version if scores else None,
            turns=trajectory.turns,
            tool_calls=len(trajectory.tool_calls),
            prompt_tokens=trajectory.tokens("prompt"),
            completion_tokens=trajectory.tokens("completion"),
            cached_tokens=trajectory.tokens("cached"),
            reasoning_tokens=trajectory.tokens("reasoning"),
            cost=trajectory.cost,
            judge_tokens=sum(spent.get(f"{kind}_tokens") or 0 for spent in judged for kind in ("prompt", "completion")),
            judge_cost=sum(known) if (known := [spent["cost"] for spent in judged if spent.get("cost")]) else None,
            seconds=(trajectory.ended or trajectory.started) - trajectory.started,
            call_seconds=tuple(c.ended - c.started for c in trajectory.calls if c.ended is not None),
            tool_seconds=tuple(c.ended - c.started for c in trajectory.tool_calls if c.ended is not None),
            unhealthy=tuple(dict.fromkeys(finding.name for finding in trajectory.health)),
            defective=any(finding.severity == "defect" for finding in trajectory.health),
            cassettes=drift if isinstance(drift := trajectory.metadata.get(METADATA), list) else (),
            user=account(trajectory),
        )


def with_scores(trajectory: Trajectory, rows: Iterable[ScoreRow]) -> Trajectory:
    """The trajectory as it reads once these rows are stored."""
    added = (
        Score(
            name=row.name, kind=row.kind, value=row.value, weight=row.weight, rubric_version=row.rubric_version,
            source=row.source, explanation=row.explanation, error=row.error, created=row.created,
            usage=None if row.usage is None else orjson.loads(row.usage),
        )
        for row in rows
    )  # fmt: skip
    return replace(trajectory, scores=(*trajectory.scores, *added))


def by_rubric(trajectory: Trajectory, version: str) -> Trajectory:
    """The trajectory with the scores of this rubric version alone, and people's feedback."""
    kept = [score for score in trajectory.scores if score.kind == "feedback" or score.rubric_version == version]
    return replace(trajectory, scores=kept)


def cause_of(trajectory: Trajectory) -> str:
    """Why a rollout ended, before its scores are looked at.

    One without an end is one whose process died under it. An agent that is done, or has failed, and neither asked the
    model nor called a tool did not work through its session (it may not even have started): there is nothing to score.
    """
    cause = trajectory.stop if trajectory.stop in CAUSES else "cancelled"
    if cause in ("completed", "agent_failed") and not trajectory.calls and not trajectory.tool_calls:
        return "harness_failed"
    return cause


def _complaint(trajectory: Trajectory, scores: Iterable[Score]) -> str | None:
    if cause_of(trajectory) != trajectory.stop and trajectory.stop == "completed" and trajectory.error is None:
        return "The agent ended without having asked the model through its session."
    return next((f"{score.name}: {score.error}" for score in scores if score.weight and score.error), None)


def _scored_cause(cause: str, scores: Iterable[Score]) -> str:
    if CAUSES[cause].count and any(score.weight and score.value is None for score in scores):
        return "scorer_failed"
    return cause


def last_attempts(trajectories: Iterable[Trajectory], rubric: str | None = None) -> list[RolloutResult]:
    """The result of each rollout of a run at its last attempt, as they began. Earlier attempts are no data.

    `rubric` is the version whose scores count; left out, each session's newest.
    """
    found: dict[tuple[str, int], tuple[float, RolloutResult]] = {}
    for trajectory in trajectories:
        result = RolloutResult.of(trajectory if rubric is None else by_rubric(trajectory, rubric))
        known = found.get(result.key)
        if known is None or result.attempt >= known[1].attempt:
            found[result.key] = trajectory.started, result
    return [result for _, result in sorted(found.values(), key=lambda each: each[0])]
