"""What a trainer asks for: a body of `POST /api/rollouts`, read and checked.

id              of the client's own: the same id is the same job, whatever happens meanwhile
environment     one that the gateway serves; may be left out where it serves one alone
task | tasks    one or a list: a task's key, or a task itself ({"prompt", "answer", "key", "info", ...})
count           rollouts of each task; 1
model           its name at the endpoint, or, without one, as the gateway knows it
endpoint        {"base_url", "api_key", "tokens": "vllm" | "sglang"}: an OpenAI-compatible API that tells token ids
sampling        set on each model request: {"temperature": 1, ...}
seed            rollout i of each task gets seed + i
harness         the program that runs the agent: loop. Any that is installed, but for `command`
harness_options of loop and chat
limits          {"turns", "tokens", "cost", "seconds"}
concurrency     rollouts of this job at a time; 32
retries         further attempts of a rollout that failed for a cause that may go away; 2
policy_version  of the weights that answer, unless `PUT /api/policy` says otherwise
wait            whether the answer waits for the job's end; true
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import orjson

from drawbar.errors import ConfigurationError, UnknownName
from drawbar.hiding import shown_url
from drawbar.ids import digest, new_id
from drawbar.rollout.harnesses import installed_harnesses
from drawbar.task import Limits, Task

MOST_OF_ONE: Final = 4_096
"""Rollouts of one job."""
_OTHERS: Final = "`drawbar run --gateway` takes any harness, with its options, and runs it on its own machine."
_ITSELF: Final = frozenset({"wait", "endpoint", "concurrency", "retries"})
"""What may be another when the same job is asked for again."""


class Where(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenAI-compatible API. The key stays in memory."""

    base_url: str
    api_key: str | None = None
    tokens: str | None = "vllm"


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job."""

    id: str | None = None
    environment: str | None = None
    task: str | dict[str, Any] | None = None
    tasks: list[str | dict[str, Any]] | None = None
    count: int = 1
    model: str
    endpoint: Where | None = None
    sampling: dict[str, Any] = {}
    seed: int | None = None
    harness: str = "loop"
    harness_options: dict[str, str] = {}
    limits: dict[str, Any] = {}
    concurrency: int = 32
    retries: int = 2
    policy_version: str | None = None
    wait: bool = True

    @property
    def wanted(self) -> list[str | dict[str, Any]]:
        """The tasks that are named."""
        return [*([] if self.task is None else [self.task]), *(self.tasks or ())]

    @property
    def run(self) -> str:
        """The id of the run that the job is: the same for the same id of the client's."""
        return run_of(self.id) if self.id is not None else new_id("run")

    @property
    def bounds(self) -> Limits:
        """Raises `ConfigurationError`."""
        try:
            return Limits(**self.limits)
        except TypeError as error:
            raise ConfigurationError(f"`limits` has fields that are none: {error}") from error

    def to_keep(self) -> dict[str, Any]:
        """What the store keeps of it: all but the endpoint's key."""
        kept: dict[str, Any] = msgspec.to_builtins(self)
        if self.endpoint is not None:
            kept["endpoint"] = {"base_url": shown_url(self.endpoint.base_url), "tokens": self.endpoint.tokens}
        return kept


def run_of(id: str) -> str:
    """The run that belongs to a client's id."""
    return id if id.startswith("run_") else f"run_{digest(b'rollouts', id.encode()).hex()[:24]}"


def read(body: Mapping[str, Any]) -> Asked:
    """Raises `ConfigurationError`, naming what is wrong."""
    try:
        asked = msgspec.convert(body, Asked)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"This is no request for rollouts: {error}") from error
    if not asked.wanted:
        raise ConfigurationError("Say which `task`, or `tasks`: keys of the environment's, or tasks themselves.")
    for name, least in (("count", 1), ("concurrency", 1), ("retries", 0)):
        if getattr(asked, name) < least:
            raise ConfigurationError(f"`{name}` is {least} or more.")
    if len(asked.wanted) * asked.count > MOST_OF_ONE:
        raise ConfigurationError(f"One request is for {MOST_OF_ONE:,} rollouts at most; ask for the others in another.")
    if asked.id is not None and not 0 < len(asked.id) <= 200:
        raise ConfigurationError("An `id` has 1 to 200 characters.")
    if asked.harness not in installed_harnesses() or asked.harness == "command":
        raise UnknownName("harness", asked.harness, sorted(installed_harnesses().keys() - {"command"}), _OTHERS)
    if asked.harness_options and asked.harness not in ("loop", "chat"):
        raise ConfigurationError(f"Options of {asked.harness} are not taken here: they may name programs. {_OTHERS}")
    if asked.endpoint is not None:
        _check(asked.endpoint)
    _ = asked.bounds
    return asked


def _check(where: Where) -> None:
    try:
        parts = urlsplit(where.base_url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("`endpoint.base_url` looks like http://host:8000/v1.")
    if "@" in parts.netloc:
        raise ConfigurationError("Give the endpoint's key as `api_key`, not within `base_url`, which is recorded.")


def same(kept: Mapping[str, Any], asked: Asked) -> bool:
    """Whether a job that is kept is the one that is asked for."""
    again = asked.to_keep()
    return all(kept.get(name) == value for name, value in again.items() if name not in _ITSELF)


def task_of(given: dict[str, Any]) -> Task:
    """A task that came with the request. Raises `ConfigurationError`."""
    try:
        return Task.from_json(orjson.dumps(given))
    except (TypeError, AttributeError) as error:
        raise ConfigurationError(f"A task has fields that are none: {error}") from error


def tasks_of(wanted: list[str | dict[str, Any]], environment: Any) -> list[Task]:
    """The tasks that are named, in order.

    Raises:
        UnknownName: the environment has none of that key.
        ConfigurationError: one is no task, or comes twice.
    """
    from drawbar.rollout.plan import COUNTED

    keys = {name for name in wanted if isinstance(name, str)}
    known: dict[str, Task] = {}
    if keys:
        for task in environment.iter_tasks(COUNTED):
            if task.key in keys:
                known[task.key] = task
                if len(known) == len(keys):
                    break
    if missing := sorted(keys - known.keys()):
        raise UnknownName("task", missing[0], [task.key for task in environment.iter_tasks(1_000)])
    found = [known[name] if isinstance(name, str) else task_of(name) for name in wanted]
    if len({task.key for task in found}) < len(found):
        raise ConfigurationError("A task comes twice: ask for more of it with `count`.")
    return found
