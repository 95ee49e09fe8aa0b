"""Counts what is recorded, as it is recorded: calls, tool calls, scores, ends of sessions.

Labels are bounded: models, tools and rubrics by number, causes and states by the tables that they come from.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from drawbar.causes import CAUSES
from drawbar.record.rows import CallRow, LiveScoringRow, Row, ScoreRow, SessionRow, ToolCallRow
from drawbar.telemetry.cells import OTHER, Histogram, Mean, Names

_log = logging.getLogger(__name__)

SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
MOST_MODELS: Final = 200
MOST_TOOLS: Final = 500
MOST_RUBRICS: Final = 100
MOST_SESSIONS: Final = 10_000
"""Whose model is remembered, for the scores that come later."""


class Model:
    """What is counted of one model, as clients name it."""

    __slots__ = ("cost", "ends", "first", "latency", "tokens")

    def __init__(self) -> None:
        self.ends: Counter[tuple[str, str, str]] = Counter()
        """Calls by dialect, status and cause."""
        self.latency = Histogram(SECONDS)
        self.first = Histogram(SECONDS)
        self.tokens = [0, 0, 0, 0]
        """prompt, completion, cached, reasoning"""
        self.cost = 0.0


class Tool:
    """What is counted of one tool."""

    __slots__ = ("ends", "errors", "latency")

    def __init__(self) -> None:
        self.ends: Counter[tuple[str, str]] = Counter()
        """Calls by status and cause."""
        self.errors = 0
        self.latency = Histogram(SECONDS)


class Metrics:
    """All of one gateway's numbers."""

    def __init__(self) -> None:
        self.models: defaultdict[str, Model] = defaultdict(Model)
        self.tools: defaultdict[tuple[str, str], Tool] = defaultdict(Tool)
        self.scores: defaultdict[tuple[str, str, str], Mean] = defaultdict(Mean)
        """By rubric, name and model."""
        self.rewards: defaultdict[tuple[str, str], Mean] = defaultdict(Mean)
        """By rubric and model."""
        self.missing: Counter[tuple[str, str]] = Counter()
        """Scores without a value, by rubric and name."""
        self.sessions: Counter[tuple[str, str]] = Counter()
        """Sessions that ended, by origin and cause."""
        self._model_names = Names(MOST_MODELS)
        self._tool_names = Names(MOST_TOOLS)
        self._rubric_names = Names(MOST_RUBRICS)
        self._model_of: OrderedDict[str, str] = OrderedDict()
        self._observers: dict[type[Row], Callable[[Any], None]] = {
            CallRow: self.observe_call,
            ToolCallRow: self.observe_tool_call,
            SessionRow: self.observe_session,
        }

    def observe(self, rows: Sequence[Row]) -> None:
        """Rows that are recorded together. Raises nothing: what counts must not fail what is counted."""
        try:
            scored = False
            for row in rows:
                kind = type(row)
                observer = self._observers.get(kind)
                if observer is not None:
                    observer(row)
                elif kind is ScoreRow:
                    scored = True
            if scored:
                self.observe_scores(rows)
        except Exception:
            _log.exception("Something that was recorded could not be counted.")

    def observe_call(self, row: CallRow) -> None:
        """A model call; its intent counts nothing."""
        if row.ended is None:
            return
        name = self._model_names(row.model)
        self.remember(row.session, name)
        model = self.models[name]
        model.ends[row.dialect, row.status, _cause(row.cause)] += 1
        model.latency.add(row.ended - row.started)
        if row.first_byte is not None:
            model.first.add(row.first_byte - row.started)
        tokens = model.tokens
        tokens[0] += row.prompt_tokens or 0
        tokens[1] += row.completion_tokens or 0
        tokens[2] += row.cached_tokens or 0
        tokens[3] += row.reasoning_tokens or 0
        model.cost += row.cost or 0.0

    def observe_tool_call(self, row: ToolCallRow) -> None:
        """A tool call; its intent counts nothing."""
        if row.ended is None:
            return
        tool = self.tools[self._tool_names(row.server), self._tool_names(row.tool)]
        tool.ends[row.status, _cause(row.cause)] += 1
        tool.errors += row.is_error
        tool.latency.add(row.ended - row.started)

    def observe_session(self, row: SessionRow) -> None:
        """A session, once it has ended."""
        if row.status == "ended":
            self.sessions[row.origin, _cause(row.stop)] += 1

    def observe_scores(self, rows: Sequence[Row]) -> None:
        """The scores that a session, or several, got at once; the reward of each is what they come to."""
        named = {row.session: row.rubric for row in rows if isinstance(row, LiveScoringRow)}
        rewards: dict[tuple[str, str], float | None] = {}
        for row in rows:
            if not isinstance(row, ScoreRow):
                continue
            rubric = self._rubric(row, named.get(row.session))
            model = self._model_of.get(row.session, OTHER)
            if row.value is None:
                self.missing[rubric, self._tool_names(row.name)] += row.kind != "feedback"
            else:
                self.scores[rubric, self._tool_names(row.name), model].add(row.value)
            if row.weight:
                key, before = (row.session, rubric), rewards.get((row.session, rubric), 0.0)
                rewards[key] = None if before is None or row.value is None else before + row.weight * row.value
        for (session, rubric), reward in rewards.items():
            if reward is not None:
                self.rewards[rubric, self._model_of.get(session, OTHER)].add(reward)

    def _rubric(self, row: ScoreRow, name: str | None) -> str:
        if row.kind == "feedback":
            return "feedback"
        return self._rubric_names(f"{name}@{row.rubric_version}" if name else row.rubric_version)

    def remember(self, session: str, model: str) -> None:
        """Which model a session used, for its scores; of sessions that were not counted here, from their record."""
        known = self._model_of
        if session not in known:
            known[session] = model
            if len(known) > MOST_SESSIONS:
                known.popitem(last=False)


def _cause(name: str | None) -> str:
    return "" if name is None else name if name in CAUSES else OTHER
