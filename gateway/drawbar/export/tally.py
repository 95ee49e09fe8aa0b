"""What an export comes to: how many sessions, what became of each, and how long conversations are."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from statistics import quantiles
from typing import Any

from drawbar.export.healthy import FURTHER, RULES
from drawbar.export.losses import Losses
from drawbar.export.sample import Grade, Sample
from drawbar.record.facts import Facts


class Lengths:
    """Counts of tokens."""

    def __init__(self) -> None:
        self._known = array("q")
        self.unknown = 0

    def add(self, count: int | None) -> None:
        """One more, if anybody counted."""
        if count is None:
            self.unknown += 1
        else:
            self._known.append(count)

    def to_json(self) -> dict[str, Any]:
        """Their sum, mean and quantiles; nothing but `unknown` where none is known."""
        known = self._known
        if not known:
            return {"unknown": self.unknown}
        cuts = quantiles(known, n=100, method="inclusive") if len(known) > 1 else [float(known[0])] * 99
        return {
            "sum": sum(known),
            "mean": round(sum(known) / len(known), 1),
            "least": min(known),
            "median": round(cuts[49]),
            "p95": round(cuts[94]),
            "most": max(known),
            "unknown": self.unknown,
        }


class Tally:
    """The counts of one export."""

    def __init__(self) -> None:
        self.meant = 0
        """Sessions that the filter means."""
        self.looked_at = 0
        """Of them, those that were looked at; not all, where only so many were wanted."""
        self.fallen: Counter[str] = Counter()
        """Of them, those that were left out, by rule."""
        self.sessions = 0
        """Those that have rows."""
        self.conversations = 0
        self.rows = 0
        self.messages = 0
        self.trained = 0
        """Messages that are trained."""
        self.tokens = Lengths()
        """Of whole conversations."""
        self.trained_tokens = Lengths()
        self.environments: Counter[str] = Counter()
        """Sessions by environment and its version, as the next two by theirs."""
        self.models: Counter[str] = Counter()
        self.rubrics: Counter[str] = Counter()
        self.losses = Losses()
        self._models: dict[str | None, list[str]] = {}

    def take(self, facts: Facts, grade: Grade) -> None:
        """A session has rows."""
        self.sessions += 1
        if facts.environment is not None:
            version = facts.environment_version
            self.environments[f"{facts.environment} {version}" if version else facts.environment] += 1
        models = self._models.get(facts.upstreams or facts.model)
        if models is None:
            models = self._models[facts.upstreams or facts.model] = facts.models or [facts.model or "unknown"]
        for model in models:
            self.models[model] += 1
        if grade.rubric is not None:
            self.rubrics[grade.rubric] += 1

    def take_sample(self, sample: Sample, rows: int) -> None:
        """A conversation has rows."""
        self.conversations += 1
        self.rows += rows
        self.messages += len(sample.trained)
        self.trained += sum(sample.trained)
        self.tokens.add(sample.tokens)
        self.trained_tokens.add(sample.trained_tokens)

    def by_rule(self) -> dict[str, int]:
        """How many sessions fell to each rule, zeros included, in the rules' order."""
        return {name: self.fallen[name] for name in (*RULES, *FURTHER)}

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        by_name: Mapping[str, Counter[str]] = {
            "environments": self.environments, "models": self.models, "rubric_versions": self.rubrics,
        }  # fmt: skip
        return {
            "sessions": {
                "meant": self.meant,
                "looked_at": self.looked_at,
                "left_out": {rule: count for rule, count in self.by_rule().items() if count},
                "exported": self.sessions,
            },
            "conversations": self.conversations,
            "rows": self.rows,
            "messages": self.messages,
            "trained_messages": self.trained,
            "tokens": self.tokens.to_json(),
            "trained_tokens": self.trained_tokens.to_json(),
            **{name: dict(sorted(counts.items())) for name, counts in by_name.items()},
            "losses": self.losses.to_json(),
        }
