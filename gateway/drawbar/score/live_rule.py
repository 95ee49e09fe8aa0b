"""Which rubric looks at which live sessions, how many of them, and what its judges may spend. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

import orjson

from drawbar.errors import ConfigurationError, nearest
from drawbar.ids import digest
from drawbar.record.rows import SessionRow
from drawbar.trajectory import Trajectory

HOUR: Final = 3600.0
_LABELS: Final = {"tag": "tags", "key": "key"}
"""Under which metadata the gateway notes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRule:
    """The rubric of an environment, for live traffic. Without `model`, `agent`, `metadata` and `all`: for the sessions
    that work in that environment, because they use its tools or their metadata name it (`environment`).

    Raises:
        ConfigurationError: a number that cannot be meant.
    """

    environment: str
    """Whose rubric."""
    model: str | None = None
    """Only sessions of which a call names such a model: `gpt-5*`."""
    agent: str | None = None
    """Only sessions of this agent: `claude_code`."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Only sessions whose metadata say so: a value, or one of a list."""
    all: bool = False
    """Every live session, whatever it works in."""
    rate: float = 1.0
    """Which share of them: from 0 to 1. Which ones follows from their ids, so every gateway picks the same."""
    judge_cost: float | None = None
    """US dollars that judges may spend in an hour, at all gateways on the store. Then they are skipped. Models without
    known prices count nothing."""
    judge_calls: int | None = None
    """How often judges may be asked in an hour, at all gateways on the store."""

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ConfigurationError(f"Live scoring with {self.environment}: `rate` is from 0 to 1, not {self.rate!r}.")
        for name in ("judge_cost", "judge_calls"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigurationError(f"Live scoring with {self.environment}: `{name}` is 0 or more, not {value!r}.")

    @classmethod
    def parse(cls, text: str) -> LiveRule:
        """`ENV[:RATE][,NAME=VALUE...]`, the names being those of the fields, `tag`, `key` (a client's key, by
        its name) and `metadata.NAME`; and `all`.

        Raises:
            ConfigurationError: it cannot be read.
        """
        first, *rest = (part.strip() for part in text.split(","))
        environment, _, rate = first.partition(":")
        given: dict[str, Any] = {"environment": environment, "metadata": {}}
        if rate:
            given["rate"] = _number(text, rate)
        for part in rest:
            name, equals, value = part.partition("=")
            if part == "all":
                given["all"] = True
            elif equals and name in _LABELS:
                given["metadata"][_LABELS[name]] = value
            elif equals and name.startswith("metadata."):
                given["metadata"][name.removeprefix("metadata.")] = value
            elif equals and name in ("model", "agent"):
                given[name] = value
            elif equals and name in ("judge_cost", "judge_calls"):
                given[name] = _number(text, value)
            else:
                near = nearest(
                    name, ("model", "agent", "judge_cost", "judge_calls", "tag", "key", "metadata.NAME", "all")
                )
                raise ConfigurationError(f"--score-live {text}: {part!r} says nothing here.{near}")
        return cls(**given)

    def may_mean(self, session: SessionRow) -> bool:
        """Whether it is for this session, as far as its row tells: rollouts have rubrics of their own."""
        if session.run is not None or not self._sampled(session.id):
            return False
        metadata = _object(session.metadata)
        if not self._selects and self.environment not in (session.environment, metadata.get("environment")):
            return False
        if self.agent is not None and session.harness != self.agent:
            return False
        return all_there(self.metadata, metadata)

    def means(self, trajectory: Trajectory) -> bool:
        """Whether it is for this session, of which `may_mean` was true."""
        return self.model is None or any(fnmatchcase(call.model, self.model) for call in trajectory.calls)

    @property
    def _selects(self) -> bool:
        return self.all or self.model is not None or self.agent is not None or bool(self.metadata)

    def _sampled(self, session: str) -> bool:
        if self.rate >= 1:
            return True
        drawn = int.from_bytes(digest(b"live", self.environment.encode(), b"\0", session.encode())[:8])
        return drawn < self.rate * 2**64


def all_there(wanted: Mapping[str, str], metadata: Mapping[str, Any]) -> bool:
    """Whether metadata say all of this."""
    return all(value in _values(metadata.get(name)) for name, value in wanted.items())


def _values(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item if isinstance(item, str) else orjson.dumps(item).decode() for item in values if item is not None]


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except ValueError:  # a redaction hook may have left something else
        return {}
    return value if isinstance(value, dict) else {}


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigurationError(f"--score-live {text}: {value!r} is not a number.") from None
