"""What a run is made of: environment x harness x model x rollouts, and within which bounds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from drawbar.environment import Environment
from drawbar.errors import ConfigurationError
from drawbar.harness import Harness
from drawbar.ids import new_id
from drawbar.record.rows import RunRow
from drawbar.rollout.users import check_users
from drawbar.task import Limits, Task
from drawbar.user import User, user_for

COUNTED = 100_000
"""As far as tasks that come one by one are counted; more of them, or endless ones, need a number."""
CHECKED = 1_000
"""So many tasks are looked at before the first rollout, for faults that would stop the run later."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run, ready to go.

    Raises:
        ConfigurationError: a number that makes no sense.
    """

    environment: Environment
    harness: Harness
    model: str
    tasks: int | None = None
    """At most so many tasks; None: all."""
    rollouts: int = 1
    """Per task."""
    concurrency: int = 32
    """Rollouts at a time."""
    retries: int = 2
    """Further attempts at a rollout that ended for a cause that may go away."""
    backoff: float = 1.0
    """Seconds before the first of them; each next waits twice as long, up to 30 s, more or less at random."""
    seed: int | None = None
    """Rollout i of every task gets `seed + i`; also decides how tasks are shuffled."""
    shuffle: bool = False
    limits: Limits = field(default_factory=Limits)
    """For each rollout; the environment's and the task's hold as well."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    token_ids: bool = False
    """Token ids and log probabilities are wanted in the record of each rollout."""
    withhold: frozenset[str] = frozenset()
    """The kinds of tools that the provider may not run (`wire.hosted_tools.HOSTED_TOOLS`)."""
    user_model: str | None = None
    """The model that plays the user of tasks that have one, in the place of whoever the environment names."""
    run: str = field(default_factory=lambda: new_id("run"))
    request: Mapping[str, Any] = field(default_factory=dict)
    """What the user asked for (JSON): stored with the run, so that it can be resumed."""

    def __post_init__(self) -> None:
        for name, least in (("tasks", 1), ("rollouts", 1), ("concurrency", 1), ("retries", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigurationError(f"The number of {name} is {least} or more, not {value}.")

    @property
    def at_a_time(self) -> int:
        """How many rollouts go on at once: as many as the run wants and the environment can bear."""
        return min(self.concurrency, self.environment.concurrency or self.concurrency)

    @property
    def has_group_rewards(self) -> bool:
        """Whether rollouts are scored once all of their task are in, too."""
        return any(scorer.kind == "group" for scorer in self.environment.scoring.scorers.values())

    @property
    def in_process(self) -> bool:
        """Whether the model is a Python function of the environment's: no language model."""
        return self.model in self.environment.models

    def user_of(self, task: Task) -> User | None:
        """Who plays the user of a task; None: it ends with the agent's first answer."""
        return user_for(self.environment.user, task, self.user_model)

    def row(self, started: float) -> RunRow:
        """The run as the store knows it."""
        return RunRow(
            id=self.run,
            environment=self.environment.name,
            environment_version=self.environment.version,
            rubric_version=self.environment.rubric_version,
            harness=self.harness.name,
            model=self.model,
            rollouts=self.rollouts,
            config=orjson.dumps({**self.request, "in_process": self.in_process}),
            started=started,
        )

    def limits_of(self, task: Task) -> Limits:
        """The strictest of the run's, the environment's and the task's."""
        return self.limits.within(self.environment.limits).within(task.limits)

    def selected(self) -> Selection:
        """The run's tasks.

        Raises:
            ConfigurationError: there are none, one of the first is faulty, or has a user with whom the harness cannot
            talk; or they may never end and no number is set (or they are to be shuffled).
        """
        look_at = COUNTED + 1 if self.tasks is None or self.shuffle else min(self.tasks, CHECKED)
        found = sum(1 for _ in self.environment.iter_tasks(look_at))
        if not found:
            raise ConfigurationError(f"Environment {self.environment.name} has no tasks.")
        if found > COUNTED:
            advice = "leave --shuffle out" if self.shuffle else "say how many to take with -n"
            raise ConfigurationError(
                f"Environment {self.environment.name} has more than {COUNTED:,} tasks, or they never end: {advice}."
            )
        check_users(self.harness, islice(self.environment.iter_tasks(look_at), CHECKED), self.user_of)
        wanted = self.tasks or found
        return Selection(self, min(found, wanted) if found < look_at else wanted)


@dataclass(frozen=True, slots=True)
class Selection:
    """The tasks of a run, made one at a time unless they are shuffled."""

    plan: Plan
    total: int
    """How many there are; of a long generator with a number given, at most."""

    def __iter__(self) -> Iterator[Task]:
        environment, plan = self.plan.environment, self.plan
        if not plan.shuffle:
            return environment.iter_tasks(plan.tasks)
        tasks = list(environment.iter_tasks(COUNTED))
        random.Random(plan.seed or 0).shuffle(tasks)
        return iter(tasks[: plan.tasks])
