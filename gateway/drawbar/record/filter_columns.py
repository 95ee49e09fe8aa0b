"""The columns that a filter knows, each with what it is compared with, where it is found and what it means. The one
table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, case, false, func, literal_column, not_, or_, select, true

from drawbar.causes import CAUSES
from drawbar.record import filter_values as values
from drawbar.record import sums
from drawbar.record.filter_functions import before_slash
from drawbar.record.filter_places import Fact, Holds, Labels, One, Packed, Place, Rows, Value
from drawbar.record.filter_tree import Operator
from drawbar.record.findings import FINDINGS
from drawbar.record.schema import call, label, newest_score, session, summary

_SAME: Final[tuple[Operator, ...]] = ("=", "in", "null")
_TEXT: Final[tuple[Operator, ...]] = (*_SAME, "contains", "like")
_ORDER: Final[tuple[Operator, ...]] = (*_SAME, "<", "<=", ">", ">=", "between")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a column's values are."""

    name: str
    operators: tuple[Operator, ...]
    read: Callable[[str], values.Meaning] | None
    """From a word of the filter to a value; None: that depends on when, or on how it is written."""


TEXT: Final = Kind("text", _TEXT, values.words)
NUMBER: Final = Kind("number", _ORDER, values.number)
SCORE: Final = Kind("score", _ORDER, values.score)
SECONDS: Final = Kind("length of time", _ORDER, values.seconds)
TIME: Final = Kind("time", _ORDER, None)
TRUTH: Final = Kind("true or false", ("=",), values.truth)
FINDING: Final = Kind("finding", _SAME, values.one_of(FINDINGS))
LABEL: Final = Kind("text or number", (*_TEXT, "<", "<=", ">", ">=", "between"), None)
NAMES: Final = Kind("names", (*_SAME, "contains"), values.words)


def _word(*known: str, operators: tuple[Operator, ...] = _SAME) -> Kind:
    return Kind("word", operators, values.one_of(known))


@dataclass(frozen=True, slots=True)
class Column:
    """One row of the table."""

    name: str
    kind: Kind
    place: Callable[[str | None], Place]
    meaning: str
    keyed: bool = False
    """Whether it is written with a name after a dot."""
    keyless: bool = True
    """Whether it is also written without."""
    alone: Callable[[str | None], Value] | None = None
    """Its one value for a session, where sessions can be counted by it."""


def _reward() -> Value:
    """The weighted sum of the newest scores; null where a weighted one has no value."""
    of = and_(newest_score.c.session == session.c.id, newest_score.c.feedback == false(), newest_score.c.weight != 0)
    total = func.sum(newest_score.c.weight * newest_score.c.value)
    found = select(case((func.count() == func.count(newest_score.c.value), total))).where(of)
    return found.correlate(session).scalar_subquery()


def _feedback(name: str | None) -> Place:
    return Rows(newest_score.c.value, _scores(True, name), newest_score.c.session)


def _sum(name: str) -> Value:
    return case((summary.c.session.is_(None), sums.added_up(name)), else_=summary.c[name])


MODEL: Final[Value] = func.coalesce(
    session.c.model, case((summary.c.session.is_(None), sums.first_model()), else_=summary.c.model)
)
REWARD: Final = _reward()
HEALTH: Final[Value] = func.coalesce(summary.c.health, "unknown")
TOKENS: Final[Value] = _sum("prompt_tokens") + _sum("completion_tokens")
SUMS: Final[Mapping[str, Value]] = {name: _sum(name) for name in sums.NAMES}


def _scores(feedback: bool, name: str | None) -> Holds:
    condition = and_(
        newest_score.c.session == session.c.id, newest_score.c.feedback == (true() if feedback else false())
    )
    return condition if name is None else and_(condition, newest_score.c.name == name)


def _score(name: str | None) -> Place:
    return Rows(newest_score.c.value, _scores(False, name), newest_score.c.value)


def _score_alone(name: str | None) -> Value:
    found = select(newest_score.c.value).where(_scores(False, name))
    return found.correlate(session).scalar_subquery()


def _rubric_alone(_: str | None) -> Value:
    found = select(newest_score.c.rubric_version).where(_scores(False, None)).limit(1)
    return found.correlate(session).scalar_subquery()


def _calls_upstream(holds: Callable[[Value], Holds]) -> Holds:
    upstream = func.replace(call.c.upstream, literal_column("'\n'"), " ")
    return sums.some_call(and_(upstream != "", or_(holds(upstream), holds(before_slash(upstream)))))


def valid() -> Holds:
    """Whether a session ended such that it counts, with all of its scores."""
    counting = [cause.name for cause in CAUSES.values() if cause.count]
    idle = and_(session.c.stop.in_(("completed", "agent_failed")), SUMS["calls"] == 0, SUMS["tool_calls"] == 0)
    unscored = select(true()).where(_scores(False, None), newest_score.c.weight != 0, newest_score.c.value.is_(None))
    return and_(session.c.stop.in_(counting), not_(idle), not_(unscored.correlate(session).exists()))


def _label_alone(name: str) -> Value:
    found = select(label.c.value).where(label.c.session == session.c.id, label.c.name == name)
    return found.order_by(label.c.value).limit(1).correlate(session).scalar_subquery()


def _own(name: str, kind: Kind, value: Value, meaning: str) -> Column:
    """A column with one value."""
    return Column(name, kind, lambda _: One(value), meaning, alone=lambda _: value)


_of: Final = session.c
_MEASURES: Final = {
    "turns": "model calls that were answered",
    "calls": "model calls",
    "failed_calls": "model calls that were not answered",
    "tool_calls": "tool calls",
    "tool_errors": "tool calls that failed, or whose tool says that it did",
    "prompt_tokens": "tokens of the requests",
    "completion_tokens": "tokens of the replies",
    "cached_tokens": "prompt tokens that the provider had in its cache",
    "reasoning_tokens": "completion tokens that are reasoning",
    "cost": "US dollars; null where no price is known",
}

_TABLE: Final = (
    _own("session", TEXT, _of.id, "its id"),
    _own("run", TEXT, _of.run, "the run's id"),
    _own("environment", TEXT, _of.environment, "the environment's name"),
    _own("environment_version", TEXT, _of.environment_version, "the environment's version"),
    _own("task", TEXT, _of.task_key, "the task's key"),
    _own("task_hash", TEXT, _of.task_hash, "the hash of the task's content"),
    _own("rollout", NUMBER, _of.rollout, "which of the run's rollouts of its task, from 0"),
    _own("attempt", NUMBER, _of.attempt, "which try at that rollout, from 0"),
    _own("agent", TEXT, _of.harness, "the agent's harness"),
    _own("harness", TEXT, _of.harness, "the same"),
    _own("model", TEXT, MODEL, "the model that it was opened for, or else that its first call names"),
    Column("upstream", NAMES, lambda _: Packed(summary.c.upstreams, _calls_upstream), "a name, or name/model"),
    _own("origin", _word("opened", "identity", "content"), _of.origin, "opened, or how a live session was recognised"),
    _own("continues", TEXT, _of.continues, "the live session that its agent had before"),
    _own("status", _word("open", "ended"), _of.status, "open or ended"),
    _own("stop", TEXT, _of.stop, "why it ended: a cause"),
    _own("error", TEXT, _of.error, "what went wrong, in words"),
    Column("valid", TRUTH, lambda _: Fact(valid()), "whether it ended such that it counts, with all of its scores"),
    _own("started", TIME, _of.started, "when it began"),
    _own("ended", TIME, _of.ended, "when it ended"),
    _own("duration", SECONDS, _of.ended - _of.started, "from its start to its end"),
    *(_own(name, NUMBER, SUMS[name], meaning) for name, meaning in _MEASURES.items()),
    _own("tokens", NUMBER, TOKENS, "prompt and completion tokens"),
    _own("reward", SCORE, REWARD, "the weighted sum of its newest scores"),
    _own("rubric", TEXT, _rubric_alone(None), "the version of the rubric that gave its newest scores"),
    Column("score", SCORE, _score, "the newest score of that name", keyed=True, keyless=False, alone=_score_alone),
    Column("feedback", SCORE, _feedback, "the last feedback (of that name) that people gave", keyed=True),
    _own("health", _word("good", "warning", "defect", "unknown"), HEALTH, "its gravest finding, notes aside"),
    Column("finding", FINDING, lambda _: Packed(summary.c.findings), "what is not as it should be, by name"),
    Column("tag", LABEL, lambda _: Labels(("tag", "tags")), "one of the tags in its metadata"),
    Column("user", LABEL, lambda _: Labels(("user",)), "the user that its metadata names",
           alone=lambda _: _label_alone("user")),
    Column("release", LABEL, lambda _: Labels(("release",)), "the release that its metadata names",
           alone=lambda _: _label_alone("release")),
    Column("metadata", LABEL, lambda key: Labels((str(key),)), "what its metadata says under that name", keyed=True,
           keyless=False, alone=lambda key: _label_alone(str(key))),
)  # fmt: skip

COLUMNS: Final[Mapping[str, Column]] = {column.name: column for column in _TABLE}
"""Every column by name."""
