"""Runs a rubric's functions on what was recorded and turns what they return into rows.

Async functions run side by side; plain ones are called directly and one after the other (or in threads, where the
caller has some), so a plain one must not block (one that waits for something is async, or hands its work to
`anyio.to_thread`). A function that raises, gives no number, or lacks what it asks for leaves a row without a value that
says why; the others still run. One that asks for what only a task has weighs nothing in a session without a task.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from numbers import Real
from traceback import extract_tb
from typing import Any, Literal, TypeAlias

import anyio
import anyio.to_thread
import orjson

from drawbar.ids import new_id
from drawbar.judging import Ask, Judge
from drawbar.record.rows import ScoreRow
from drawbar.rubric import Rubric, Scorer
from drawbar.task import Task
from drawbar.trajectory import Trajectory

Source: TypeAlias = Literal["rollout", "live", "rescore", "feedback"]

_MAX_TEXT = 4000


@dataclass(frozen=True, slots=True)
class _Result:
    """What one function gave for one session."""

    value: float | None
    explanation: str | None = None
    error: str | None = None
    weightless: bool = False
    """It judges what this session has not: a task."""


class _Missing(Exception):
    """A function asks for what this session does not have, or is left out for another reason."""

    def __init__(self, why: str, *, weightless: bool = False) -> None:
        super().__init__(why)
        self.weightless = weightless


async def score(
    rubric: Rubric,
    trajectory: Trajectory,
    *,
    judge: Judge | None = None,
    ask: Ask | None = None,
    source: Source = "rollout",
    skip: Mapping[str, str] | None = None,
    threads: anyio.CapacityLimiter | None = None,
) -> list[ScoreRow]:
    """One row for each reward and metric of the rubric, in its order. Group rewards need `score_group`.

    `judge` is the environment's; `ask` is how judges reach models (`Models.chat` of a gateway). `skip`: functions that
    are not called, and why. `threads`: where plain functions run, if the loop has others to serve. A value of None is
    no score, and the row's `error` says why. Only cancellation is raised.
    """
    scorers = [scorer for scorer in rubric.scorers.values() if scorer.kind != "group"]
    context = _context(trajectory)
    runs = [_Run(scorer, judge, ask, context, (skip or {}).get(scorer.name)) for scorer in scorers]
    await _all(runs, threads)
    version = rubric.version(judge)
    return [_row(run.scorer, trajectory, _result(run.outcome), run.usage, version, source) for run in runs]


async def score_group(
    rubric: Rubric,
    trajectories: Sequence[Trajectory],
    *,
    judge: Judge | None = None,
    ask: Ask | None = None,
    source: Source = "rollout",
) -> list[ScoreRow]:
    """One row for each group reward and trajectory; `trajectories` are rollouts of one task.

    What a group's judge spent stands in the row of the first trajectory.
    """
    scorers = [scorer for scorer in rubric.scorers.values() if scorer.kind == "group"]
    if not scorers or not trajectories:
        return []
    context = _group_context(trajectories)
    runs = [_Run(scorer, judge, ask, context) for scorer in scorers]
    await _all(runs)
    version = rubric.version(judge)
    return [
        _row(run.scorer, trajectory, result, None if position else run.usage, version, source)
        for run in runs
        for position, (trajectory, result) in enumerate(
            zip(trajectories, _group_results(run.outcome, len(trajectories)), strict=True)
        )
    ]


def _context(trajectory: Trajectory) -> dict[str, Any]:
    said = feedback_on(trajectory)
    return {
        **_task_context(trajectory.task),
        **({"feedback": said} if said else {}),
        "trajectory": trajectory,
        "completion": trajectory.completion,
        "session": trajectory.id,
    }


def feedback_on(trajectory: Trajectory) -> dict[str, float | str]:
    """What people said of a session, the last of each name: `thumbs` (1 or 0), numbers by their names, and the texts
    `correction` and `comment`."""
    given = sorted((score for score in trajectory.scores if score.kind == "feedback"), key=lambda score: score.created)
    said = {score.name: score.explanation if score.value is None else score.value for score in given}
    return {name: value for name, value in said.items() if value is not None}


def _group_context(trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    return {
        **_task_context(trajectories[0].task),
        "trajectories": list(trajectories),
        "completions": [trajectory.completion for trajectory in trajectories],
    }


def _task_context(task: Task | None) -> dict[str, Any]:
    if task is None:
        return {}
    answer = {} if task.answer is None else {"answer": task.answer}
    return {"task": task, "info": task.info, "question": _question(task), **answer}


def _question(task: Task) -> str:
    """The words of the last thing that the task asks."""
    content = task.messages[-1].get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or "" for part in content if part.get("type") == "text")


class _Run:
    """One function at work on one context."""

    def __init__(
        self,
        scorer: Scorer,
        shared: Judge | None,
        ask: Ask | None,
        context: Mapping[str, Any],
        skipped: str | None = None,
    ) -> None:
        """`skipped`: why it is not called."""
        self.scorer = scorer
        self._skipped = skipped
        self.outcome: Any = None
        """What it returned, or the exception that it raised."""
        judge = scorer.judge or shared
        self._nameless = judge is not None and not judge.model
        self._judge = judge.bound(ask or judge.ask, context) if judge is not None and judge.model else None
        self._context = context

    @property
    def usage(self) -> bytes | None:
        return orjson.dumps(asdict(self._judge.usage)) if self._judge is not None and self._judge.usage.calls else None

    async def go(self, threads: anyio.CapacityLimiter | None = None) -> None:
        try:
            arguments = self._arguments()
            if threads is None:
                outcome = self.scorer.function(**arguments)
            else:
                outcome = await anyio.to_thread.run_sync(partial(self.scorer.function, **arguments), limiter=threads)
            self.outcome = await outcome if inspect.isawaitable(outcome) else outcome
        except Exception as error:
            self.outcome = error

    def _arguments(self) -> dict[str, Any]:
        if self._skipped is not None:
            raise _Missing(f"skipped: {self._skipped}")
        found: dict[str, Any] = {}
        for name, needed in self.scorer.parameters.items():
            if name == "judge" and self._judge is not None:
                found[name] = self._judge
            elif name in self._context:
                found[name] = self._context[name]
            elif needed:
                raise self._missing(name)
        return found

    def _missing(self, name: str) -> _Missing:
        asks = f"skipped: it asks for `{name}`, and"
        if name == "judge" and self._nameless:
            return _Missing(f"{asks} no model is named for it (by its environment, or --judge-model)", weightless=True)
        if name == "judge":
            return _Missing(f"{asks} neither it nor the environment has one")
        if name == "feedback":
            return _Missing(f"{asks} nobody has given any")
        task = self._context.get("task")
        if task is None:
            return _Missing(f"{asks} the session has no task", weightless=True)
        return _Missing(f"{asks} task {task.key!r} has none")


async def _all(runs: Sequence[_Run], threads: anyio.CapacityLimiter | None = None) -> None:
    waiting = [run for run in runs if not _is_plain(run.scorer.function)]
    for run in runs:
        if run not in waiting:
            await run.go(threads)
    async with anyio.create_task_group() as group:
        for run in waiting:
            group.start_soon(run.go)


def _is_plain(function: Callable[..., Any]) -> bool:
    return inspect.isfunction(function) and not inspect.iscoroutinefunction(function)


def _result(outcome: Any) -> _Result:
    if isinstance(outcome, _Missing):
        return _Result(None, error=str(outcome), weightless=outcome.weightless)
    if isinstance(outcome, Exception):
        return _Result(None, error=_described(outcome))
    explanation = None
    if isinstance(outcome, tuple) and len(outcome) == 2:
        outcome, explanation = outcome
    if outcome is None:
        return _Result(None, explanation, "it gave no score (None)")
    if not isinstance(outcome, Real):
        return _Result(None, explanation, f"it returned {_shown(outcome)}, not a number")
    if not math.isfinite(outcome):
        return _Result(None, explanation, f"it returned {float(outcome)}, which is no score")
    return _Result(float(outcome), None if explanation is None else str(explanation)[:_MAX_TEXT])


def _group_results(outcome: Any, size: int) -> list[_Result]:
    if isinstance(outcome, Exception):
        return [_result(outcome)] * size
    if isinstance(outcome, str | bytes | Mapping) or not hasattr(outcome, "__len__"):
        return [_Result(None, error=f"it returned {_shown(outcome)}, not one value for each of {size} rollouts")] * size
    if len(outcome) != size:
        return [_Result(None, error=f"it returned {len(outcome)} values for {size} rollouts")] * size
    return [_result(value) for value in outcome]


def _described(error: Exception) -> str:
    """The error and where it was raised: in the scorer's own code, as deep as that goes."""
    frames = extract_tb(error.__traceback__)[1:]  # the first is ours
    own = [frame for frame in frames if frames and frame.filename == frames[0].filename]
    place = f" ({own[-1].filename}:{own[-1].lineno}, in {own[-1].name})" if own else ""
    return f"{type(error).__name__}: {error}"[:_MAX_TEXT] + place


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _row(
    scorer: Scorer, trajectory: Trajectory, result: _Result, usage: bytes | None, version: str, source: Source
) -> ScoreRow:
    weight = 0.0 if result.weightless else scorer.weight
    return ScoreRow(
        id=new_id("sco"),
        session=trajectory.id,
        name=scorer.name,
        kind=scorer.kind,
        value=result.value,
        weight=weight,
        rubric_version=version,
        source=source,
        explanation=result.explanation,
        error=result.error,
        usage=usage,
        created=time.time(),
    )
