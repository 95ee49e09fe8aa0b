"""What an environment must be like, as plain functions of what was seen. Each problem says what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from drawbar.environment import Environment
from drawbar.errors import ConfigurationError, UserError
from drawbar.task import Task
from drawbar.tools.cassettes.content import problems
from drawbar.tools.cassettes.deck import names_in
from drawbar.tools.cassettes.environments import cassettes_of
from drawbar.tools.cassettes.format import read
from drawbar.trajectory import Score, Trajectory
from drawbar.user import Conversation, ModelUser, ReplayUser, spoken

NAME_CAP: Final = 64 - len("mcp__drawbar__")
"""Providers take tool names of 64 characters; harnesses put `mcp__SERVER__` before them."""
KEYS_CHECKED: Final = 100_000
"""How many tasks of an environment are looked at for repeating keys: it may have infinitely many."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    check: str
    """tasks | cassette | user | tools | oracle | idle | repeat"""
    what: str
    advice: str


def check_tasks(environment: Environment) -> list[Problem]:
    """Its tasks can be read, there is one at least, and no key repeats."""
    try:
        some = any(True for _ in islice(environment.iter_tasks(), 1))
        for _ in environment.iter_tasks(KEYS_CHECKED):
            pass
    except ConfigurationError as error:
        return [Problem("tasks", str(error), "Agents, resuming and reports go by tasks: mend this one first.")]
    return [] if some else [Problem("tasks", "There are no tasks.", "Give the environment `tasks=`.")]


def check_cassettes(environment: Environment) -> list[Problem]:
    """Cassettes can be read whole, hold the servers that they stand in for, and list what they hold."""
    found = []
    for name, cassette in cassettes_of(environment).items():
        try:
            header, recordings = read(Path(cassette.path))
            names_in(cassette, header, [name])
            wrong = [f"The cassette {cassette.path}: {what}." for what in problems(header, recordings)]
        except ConfigurationError as error:
            wrong = [str(error)]
        advice = "Record it anew with --record-cassette, or mend the line that is named."
        found += [Problem("cassette", what, advice) for what in wrong]
    return found


def check_user(environment: Environment, limit: int) -> list[Problem]:
    """Whoever plays the user has something to say in some task, and a model's prompt can be made for each."""
    user = environment.user
    if not isinstance(user, ReplayUser | ModelUser):
        return []
    playing = [task for task in environment.iter_tasks(limit) if user.plays(task)]
    if not playing:
        needed = "`user_turns`" if isinstance(user, ReplayUser) else '`info["goal"]` or `user_turns`'
        return [
            Problem("user", "There is a user, and no task in which it would say anything.", f"Give tasks {needed}.")
        ]
    for task in playing:
        try:
            if isinstance(user, ModelUser):
                user.render(Conversation(task=task, messages=spoken(task), played=0))
        except UserError as error:
            advice = "Mend the template, or give each task what it asks for."
            return [Problem("user", f"Task {task.key!r}: {error}", advice)]
    return []


def check_tools(tools: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Every tool's name and schema get through every provider and harness unharmed."""
    return [Problem("tools", what, advice) for tool in tools for what, advice in _tool_problems(tool)]


def _tool_problems(tool: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name, schema = str(tool.get("name", "")), tool.get("inputSchema", {})
    if not _NAME.fullmatch(name):
        yield f"The name of tool {name!r} is not portable.", "Use letters, digits, `_` and `-` alone."
    if len(name) > NAME_CAP:
        yield (
            f"The name of tool {name!r} has {len(name)} characters.",
            f"Use at most {NAME_CAP}: providers cap names at 64, and harnesses put a prefix before yours.",
        )
    if schema.get("type") != "object":
        yield f"The schema of tool {name!r} is no object.", 'Give it `"type": "object"` and `properties`.'
    for word in ("oneOf", "anyOf", "allOf"):
        if word in schema:
            yield (
                f"The schema of tool {name!r} has `{word}` at its top.",
                "Some harnesses drop it: list plain `properties`, and check combinations in the tool.",
            )
    place = next(_references(schema, "inputSchema"), None)
    if place is not None:
        yield (
            f"The schema of tool {name!r} has a `$ref` at {place}.",
            "Some harnesses mangle it: use parameters of plain types (str, int, bool, lists of them), not models.",
        )


def _references(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield place
            yield from _references(item, f"{place}.{key}")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _references(item, f"{place}[{position}]")


def check_oracle(environment: Environment, trajectories: Iterable[Trajectory]) -> list[Problem]:
    """The oracle gets all that can be got: every reward of positive weight at 1, every one of negative weight at 0."""
    full = full_reward(environment)
    found = []
    for trajectory in trajectories:
        got = _reward(trajectory)
        if got is not None and abs(got - full) <= _TOLERANCE:
            continue
        found.append(
            Problem(
                "oracle",
                f"Task {_key(trajectory)}: the oracle got {_told(got)} of {full:g}. {_seen(trajectory)}",
                "Either the oracle does not solve the task, or a reward does not see that it did.",
            )
        )
    return found


def check_idle(trajectories: Iterable[Trajectory]) -> list[Problem]:
    """An agent that does nothing gets nothing, and what it gets is a score."""
    found = []
    for trajectory in trajectories:
        got = _reward(trajectory)
        if got is not None and got <= _TOLERANCE:
            continue
        failed = got is None
        found.append(
            Problem(
                "idle",
                f"Task {_key(trajectory)}: an agent that does nothing got {_told(got)}. {_seen(trajectory)}",
                "A reward failed on an empty answer: make it give 0."
                if failed
                else "A reward can be had for free: make it ask for what only doing the task yields.",
            )
        )
    return found


def check_repeats(first: Sequence[Trajectory], second: Sequence[Trajectory]) -> list[Problem]:
    """Two runs of the oracle on one task say, do, see and get the same."""
    again = {_key(trajectory): trajectory for trajectory in second}
    found = []
    for one in first:
        other = again.get(_key(one))
        difference = None if other is None else _difference(one, other)
        if difference is not None:
            found.append(
                Problem(
                    "repeat",
                    f"Task {_key(one)}: two runs of the oracle differ: {difference}",
                    "Take chance, clocks and shared state out of tools and rewards, or fix their seed.",
                )
            )
    return found


def full_reward(environment: Environment) -> float:
    """The most that one rollout can get, group rewards left out."""
    return sum(max(s.weight, 0.0) for s in environment.scoring.scorers.values() if s.kind != "group")


def _difference(one: Trajectory, other: Trajectory) -> str | None:
    views = (
        ("tool calls", _calls(one), _calls(other)),
        ("messages", [(m.role, m.text) for m in one.messages], [(m.role, m.text) for m in other.messages]),
        ("scores", {s.name: s.value for s in _own(one)}, {s.name: s.value for s in _own(other)}),
    )
    return next((f"{name}: {_short(a)} and then {_short(b)}" for name, a, b in views if a != b), None)


def _calls(trajectory: Trajectory) -> list[Any]:
    # In no order, because a model's parallel calls end in any; whatever order matters shows in the messages.
    return sorted((call.name, repr(sorted(call.arguments.items())), call.text) for call in trajectory.tool_calls)


def _own(trajectory: Trajectory) -> list[Score]:
    return [score for score in trajectory.scores if score.kind != "group"]


def _reward(trajectory: Trajectory) -> float | None:
    weighted = [score for score in _own(trajectory) if score.weight]
    values = [score.value for score in weighted]
    if not weighted or None in values:
        return None if weighted or trajectory.stop != "completed" else 0.0
    return sum(score.weight * (score.value or 0.0) for score in weighted)


def _seen(trajectory: Trajectory) -> str:
    if trajectory.error:
        return f"It ended with {trajectory.stop}: {trajectory.error}"
    scores = ", ".join(f"{s.name} {_told(s.value)}{f' ({s.error})' if s.error else ''}" for s in _own(trajectory))
    return f"Its answer was {_short(trajectory.completion)}; scores: {scores or 'none'}."


def _key(trajectory: Trajectory) -> str:
    task: Task | None = trajectory.task
    return "?" if task is None else repr(task.key)


def _told(value: float | None) -> str:
    return "no score" if value is None else f"{value:g}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
