"""What a filter means, said a second time: over trajectories, in Python, without SQL and without the store's sums.

A test draws conditions as trees of these, writes them as text, and asks both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from drawbar.causes import CAUSES
from drawbar.rollout.result import RolloutResult
from drawbar.trajectory import Trajectory

Values: TypeAlias = Sequence[Any]
"""Of one column in one session: none, one or several."""


def _one(value: Any) -> Values:
    return () if value is None else (value,)


def _sum(kind: str) -> Callable[[Trajectory], Values]:
    return lambda t: (t.tokens(kind),)


def _upstreams(t: Trajectory) -> Values:
    return [name for c in t.calls if c.upstream for name in (c.upstream, c.upstream.partition("/")[0])]


def _score(name: str) -> Callable[[Trajectory], Values]:
    return lambda t: [s.value for s in t.newest_scores if s.name == name and s.value is not None]


def _feedback(t: Trajectory) -> Values:
    given = {s.name: s for s in sorted(t.scores, key=lambda s: s.created) if s.kind == "feedback"}
    return [s.value for s in given.values()]


def _health(t: Trajectory) -> Values:
    weights = {finding.severity for finding in t.health}
    return ("defect" if "defect" in weights else "warning" if "warning" in weights else "good",)


def _labels(name: str) -> Callable[[Trajectory], Values]:
    def read(t: Trajectory) -> Values:
        value = t.metadata.get(name)
        items = value if isinstance(value, list) else [value]
        return [item if isinstance(item, str) else str(item) for item in items if item is not None]

    return read


def _valid(t: Trajectory) -> bool:
    return CAUSES[RolloutResult.of(t).cause].count


TEXTS: Mapping[str, Callable[[Trajectory], Values]] = {
    "environment": lambda t: _one(t.environment),
    "model": lambda t: _one(t.model or (t.calls[0].model if t.calls else None)),
    "agent": lambda t: _one(t.harness),
    "task": lambda t: _one(t.task and t.task.key),
    "status": lambda t: (t.status,),
    "stop": lambda t: _one(t.stop),
    "origin": lambda t: (t.origin,),
}
NAMES: Mapping[str, Callable[[Trajectory], Values]] = {
    "upstream": _upstreams,
    "finding": lambda t: [finding.name for finding in t.health],
    "health": _health,
}
LABELS: Mapping[str, Callable[[Trajectory], Values]] = {
    "tag": _labels("tags"), "user": _labels("user"), 'metadata."a b"': _labels("a b"),
}  # fmt: skip
NUMBERS: Mapping[str, Callable[[Trajectory], Values]] = {
    "turns": lambda t: (t.turns,),
    "calls": lambda t: (len(t.calls),),
    "failed_calls": lambda t: (sum(c.status != "answered" for c in t.calls),),
    "tool_calls": lambda t: (len(t.tool_calls),),
    "tool_errors": lambda t: (sum(c.is_error or c.status != "answered" for c in t.tool_calls),),
    "prompt_tokens": _sum("prompt"),
    "tokens": lambda t: (t.tokens("prompt") + t.tokens("completion"),),
    "cost": lambda t: _one(t.cost),
    "reward": lambda t: _one(t.reward),
    "score.correct": _score("correct"),
    "score.style": _score("style"),
    "feedback": _feedback,
    "rollout": lambda t: (t.rollout,),
    "duration": lambda t: _one(None if t.ended is None else t.ended - t.started),
    'metadata."a b"': _labels("a b"),
}


@dataclass(frozen=True)
class Said:
    """A condition: how it is written, and what it means."""

    text: str
    holds: Callable[[Trajectory], bool]


def texts(column: str, operator: str, wanted: Sequence[str], read: Callable[[Trajectory], Values]) -> Said:
    """A comparison of words."""
    first = wanted[0]
    quoted = [_quoted(word) for word in wanted]
    match operator:
        case "=" | "!=":
            return _negated(operator == "!=", f"{column} {operator} {quoted[0]}", lambda t: first in read(t))
        case "in" | "not in":
            listed = f"{column} {operator} ({', '.join(quoted)})"
            return _negated(operator == "not in", listed, lambda t: any(v in wanted for v in read(t)))
        case "contains":
            return Said(f"{column} contains {quoted[0]}", lambda t: any(first in v for v in read(t)))
        case "like":
            pattern = re.compile("".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in first), re.DOTALL)
            return Said(f"{column} like {quoted[0]}", lambda t: any(pattern.fullmatch(v) for v in read(t)))
    return _null(column, operator, lambda t: not read(t))


def numbers(column: str, operator: str, wanted: Sequence[float], read: Callable[[Trajectory], Values]) -> Said:
    """A comparison of numbers."""
    compare: dict[str, Callable[[float], bool]] = {
        "=": lambda v: v == wanted[0], "<": lambda v: v < wanted[0], "<=": lambda v: v <= wanted[0],
        ">": lambda v: v > wanted[0], ">=": lambda v: v >= wanted[0],
        "between": lambda v: wanted[0] <= v <= wanted[-1], "in": lambda v: v in wanted,
    }  # fmt: skip
    if operator not in compare:
        return _null(column, operator, lambda t: not read(t))
    said = [str(each) for each in wanted]
    rest = {"between": f"{said[0]} and {said[-1]}", "in": f"({', '.join(said)})"}.get(operator, said[0])
    return Said(
        f"{column} {operator} {rest}",
        lambda t: any(compare[operator](float(v)) for v in read(t) if v is not None and _numeric(v)),
    )


def valid() -> Said:
    return Said("valid", _valid)


def negated(of: Said) -> Said:
    return Said(f"not ({of.text})", lambda t: not of.holds(t))


def joined(word: str, parts: Iterable[Said]) -> Said:
    given = list(parts)
    every = all if word == "and" else any
    return Said(f" {word} ".join(f"({part.text})" for part in given), lambda t: every(p.holds(t) for p in given))


def _null(column: str, operator: str, missing: Callable[[Trajectory], bool]) -> Said:
    return _negated(operator == "is not null", f"{column} {operator}", missing)


def _negated(negative: bool, text: str, holds: Callable[[Trajectory], bool]) -> Said:
    return Said(text, (lambda t: not holds(t)) if negative else holds)


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _numeric(value: Any) -> bool:
    return not isinstance(value, str) or re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", value) is not None
