"""The report of a run: what is added up while rollouts come in, and the numbers at the end. Knows no tables."""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from drawbar.record.rows import RunRow
from drawbar.rollout.result import RolloutResult
from drawbar.rollout.statistics import Estimate, clustered_mean, pass_at_k, pass_hat_k, percentile
from drawbar.tools.cassettes.drift import RunDrift
from drawbar.user_part import UserTally

PASS_THRESHOLD = 1.0
"""A rollout passes when its reward is at least this."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of times in seconds."""

    p50: float | None
    p90: float | None
    p99: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Percentiles:
        ordered = sorted(values)
        return cls(*(percentile(ordered, share) for share in (0.5, 0.9, 0.99)))


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `drawbar run` ends with. Every mean is over valid rollouts alone."""

    run: RunRow
    llm: bool
    """Whether a language model was asked; False for oracles, baselines and scripts."""
    tasks: int
    rollouts: int
    valid: int
    invalid: int
    kept: int
    """Of a resumed run: rollouts that were finished before."""
    reward: Estimate | None
    rewards: Mapping[str, tuple[float, float]]
    """Mean and weight of each scorer that enters the reward."""
    metrics: Mapping[str, float]
    missing: Mapping[str, int]
    """Valid rollouts in which a scorer gave no value, by its name; they are not in its mean."""
    pass_at: Mapping[int, float]
    pass_hat: Mapping[int, float]
    turns: float | None
    tool_calls: float | None
    tokens: Mapping[str, int]
    cost: float | None
    """US dollars of all rollouts, invalid ones too: they were paid for as well. None: no price is known."""
    judge_tokens: int
    judge_cost: float | None
    """What judges spent, apart from the agents."""
    rollout_seconds: Percentiles
    call_seconds: Percentiles
    tool_seconds: Percentiles
    stops: Mapping[str, int]
    """How valid rollouts ended."""
    errors: Mapping[str, int]
    """Why the invalid ones are."""
    examples: Mapping[str, str]
    """One error message for each cause of `errors` and `agent_failed`."""
    unhealthy: Mapping[str, int]
    """Sessions by what is not as it should be in their record."""
    defective: int
    """Sessions with a defect in their record."""
    retried: int
    cassettes: Sequence[Mapping[str, Any]] = ()
    """For each cassette that answered tool calls: how well it did (`drawbar.tools.cassettes.drift`)."""
    user: Mapping[str, Any] | None = None
    """What whoever played the tasks' users did and spent, as `UserTally.report` has it; None: nobody did."""
    rubrics: Mapping[str, int] = field(default_factory=dict)
    """Valid rollouts by the version of the rubric that gave their scores. More than one: the means mix them."""

    @property
    def rubric_remark(self) -> str | None:
        """What must be known of the rubrics to read the scores rightly; None: they are of the run's own."""
        if len(self.rubrics) > 1:
            said = ", ".join(f"{version} ({count})" for version, count in self.rubrics.items())
            return f"Scores of several rubric versions are in these means: {said}. `drawbar score` brings all to one."
        other = next((version for version in self.rubrics if version != self.run.rubric_version), None)
        return other and f"Scores are of rubric {other}, not of the run's own {self.run.rubric_version}."

    def to_json(self) -> dict[str, Any]:
        """The report as `--json` prints it."""
        reward = self.reward
        interval = None if reward is None or reward.low is None else [reward.low, reward.high]
        return {
            "run": self.run.id,
            "status": self.run.status,
            "environment": self.run.environment,
            "environment_version": self.run.environment_version,
            "rubric_version": self.run.rubric_version,
            "rubric_versions": dict(self.rubrics),
            "harness": self.run.harness,
            "model": self.run.model,
            "llm": self.llm,
            "tasks": self.tasks,
            "rollouts": self.rollouts,
            "rollouts_per_task": self.run.rollouts,
            "valid": self.valid,
            "invalid": self.invalid,
            "kept": self.kept,
            "retried": self.retried,
            "reward": {
                "mean": reward and reward.mean,
                "ci95": interval,
                "standard_error": reward and reward.error,
                "clusters": reward.clusters if reward else 0,
            },
            "rewards": {name: {"mean": mean, "weight": weight} for name, (mean, weight) in self.rewards.items()},
            "metrics": dict(self.metrics),
            "missing": dict(self.missing),
            "pass_threshold": PASS_THRESHOLD,
            "pass_at_k": {str(k): value for k, value in self.pass_at.items()},
            "pass_hat_k": {str(k): value for k, value in self.pass_hat.items()},
            "turns": self.turns,
            "tool_calls": self.tool_calls,
            "tokens": dict(self.tokens),
            "cost": self.cost,
            "judge": {"tokens": self.judge_tokens, "cost": self.judge_cost},
            "seconds": {
                "rollout": asdict(self.rollout_seconds),
                "model_call": asdict(self.call_seconds),
                "tool_call": asdict(self.tool_seconds),
            },
            "stops": dict(self.stops),
            "errors": dict(self.errors),
            "examples": dict(self.examples),
            "unhealthy": dict(self.unhealthy),
            "defective": self.defective,
            "cassettes": list(self.cassettes),
            "user": self.user,
            "started": self.run.started,
            "ended": self.run.ended,
        }


@dataclass
class Tally:
    """Adds up rollouts as they finish, in little memory: some numbers per rollout, no text, no trajectory."""

    rollouts: int = 0
    kept: int = 0
    retried: int = 0
    _rewards: dict[str, array[float]] = field(default_factory=lambda: defaultdict(lambda: array("d")))
    _tasks: set[str] = field(default_factory=set)
    _scores: dict[str, array[float]] = field(default_factory=lambda: defaultdict(lambda: array("d")))
    _missing: Counter[str] = field(default_factory=Counter)
    _weights: dict[str, float] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _tokens: Counter[str] = field(default_factory=Counter)
    _cost: float | None = None
    _judge_tokens: int = 0
    _judge_cost: float | None = None
    _seconds: dict[str, array[float]] = field(default_factory=lambda: defaultdict(lambda: array("d")))
    _stops: Counter[str] = field(default_factory=Counter)
    _errors: Counter[str] = field(default_factory=Counter)
    _rubrics: Counter[str] = field(default_factory=Counter)
    _examples: dict[str, str] = field(default_factory=dict)
    _unhealthy: Counter[str] = field(default_factory=Counter)
    _defective: int = 0
    _drift: RunDrift = field(default_factory=RunDrift)
    _users: UserTally = field(default_factory=UserTally)
    _sum: float = 0.0
    _rewarded: int = 0

    @property
    def mean(self) -> float | None:
        """The mean reward so far."""
        return self._sum / self._rewarded if self._rewarded else None

    @property
    def invalid(self) -> int:
        return self._errors.total()

    @property
    def errors(self) -> Mapping[str, int]:
        """Invalid rollouts so far, by cause."""
        return self._errors

    def add(self, result: RolloutResult, *, kept: bool = False) -> None:
        """Enter one rollout."""
        self.rollouts += 1
        self.kept += kept
        self.retried += result.attempt > 0
        self._tasks.add(result.task_hash)
        self._tokens.update(
            prompt=result.prompt_tokens,
            completion=result.completion_tokens,
            cached=result.cached_tokens,
            reasoning=result.reasoning_tokens,
        )
        if result.cost is not None:
            self._cost = (self._cost or 0.0) + result.cost
        self._judge_tokens += result.judge_tokens
        if result.judge_cost is not None:
            self._judge_cost = (self._judge_cost or 0.0) + result.judge_cost
        self._unhealthy.update(result.unhealthy)
        self._defective += result.defective
        self._drift.add(result.cassettes)
        self._users.add(result.user)
        if result.error and (not result.valid or result.cause == "agent_failed"):
            self._examples.setdefault(result.cause, result.error)
        if result.valid:
            self._add_valid(result)
        else:
            self._errors[result.cause] += 1

    def _add_valid(self, result: RolloutResult) -> None:
        self._stops[result.cause] += 1
        self._counts.update(turns=result.turns, tool_calls=result.tool_calls)
        self._seconds["rollout"].append(result.seconds)
        self._seconds["call"].extend(result.call_seconds)
        self._seconds["tool"].extend(result.tool_seconds)
        self._weights.update(result.weights)
        if result.rubric is not None:
            self._rubrics[result.rubric] += 1
        for name, value in result.scores.items():
            if value is None:
                self._missing[name] += 1
            else:
                self._scores[name].append(value)
        if result.reward is not None:
            self._rewards[result.task_hash].append(result.reward)
            self._sum += result.reward
            self._rewarded += 1

    def report(self, run: RunRow) -> Report:
        """The numbers for a run whose rollouts these are."""
        valid = self.rollouts - self.invalid
        means = {name: math.fsum(values) / len(values) for name, values in self._scores.items() if values}
        rewards = list(self._rewards.values())
        return Report(
            run=run,
            llm=not orjson.loads(run.config).get("in_process", False),
            tasks=len(self._tasks),
            rollouts=self.rollouts,
            valid=valid,
            invalid=self.invalid,
            kept=self.kept,
            retried=self.retried,
            reward=clustered_mean(rewards),
            rewards={name: (mean, self._weights[name]) for name, mean in means.items() if self._weights[name]},
            metrics={name: mean for name, mean in means.items() if not self._weights[name]},
            missing=dict(self._missing),
            pass_at={k: _over_tasks(pass_at_k, rewards, k) for k in _ks(rewards)},
            pass_hat={k: _over_tasks(pass_hat_k, rewards, k) for k in _ks(rewards)},
            turns=self._counts["turns"] / valid if valid else None,
            tool_calls=self._counts["tool_calls"] / valid if valid else None,
            tokens=dict(self._tokens),
            cost=self._cost,
            judge_tokens=self._judge_tokens,
            judge_cost=self._judge_cost,
            rollout_seconds=Percentiles.of(self._seconds["rollout"]),
            call_seconds=Percentiles.of(self._seconds["call"]),
            tool_seconds=Percentiles.of(self._seconds["tool"]),
            stops=dict(self._stops.most_common()),
            errors=dict(self._errors.most_common()),
            examples=dict(self._examples),
            rubrics=dict(self._rubrics.most_common()),
            unhealthy=dict(self._unhealthy.most_common()),
            defective=self._defective,
            cassettes=self._drift.report(),
            user=self._users.report(),
        )


def _ks(rewards: Sequence[Sequence[float]]) -> list[int]:
    """1, 2, 4, ... and the most rollouts that any task has."""
    most = max((len(values) for values in rewards), default=0)
    return sorted({*(2**i for i in range(most.bit_length()) if 2**i <= most), *([most] if most else [])})


def _over_tasks(estimator: Callable[[int, int, int], float], rewards: Sequence[Sequence[float]], k: int) -> float:
    """The estimator's mean over the tasks that have k rollouts or more."""
    found = [
        estimator(len(values), sum(value >= PASS_THRESHOLD - 1e-9 for value in values), k)
        for values in rewards
        if len(values) >= k
    ]
    return math.fsum(found) / len(found)
