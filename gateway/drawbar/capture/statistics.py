"""What a captured environment is made of, in numbers: for its README, its manifest and the person who waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from drawbar.capture.candidate import Candidate
from drawbar.capture.catalogue import Homes, Tool
from drawbar.capture.pseudonyms import Pseudonyms
from drawbar.capture.reading import Left
from drawbar.capture.settings import Settings

_FEWEST_TURNS: Final = 10
_MOST_NAMED: Final = 12
"""Values of a column that are named; the others are added up."""
_COLUMNS: Final = ("environment", "model", "harness", "release")


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """All that one environment is made of."""

    settings: Settings
    candidates: Sequence[Candidate]
    homes: Homes
    total: int
    """Sessions that the query means."""
    left: Mapping[str, Left] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    """What else took sessions away, in words, and how many."""
    names: Pseudonyms | None = None
    """What has replaced what the candidates said, for what is written beside them; None: nothing was replaced."""
    redactions: Sequence[Mapping[str, Any]] = ()
    """`what`, how many `values`, in how many `places`."""
    side: str | None = None
    """train | test, of a split."""

    def kept(self, value: Any) -> Any:
        """A JSON value as it may be written."""
        return value if self.names is None else self.names.value(value)

    @property
    def sessions(self) -> list[str]:
        """The ids of all sessions in it."""
        return [id for candidate in self.candidates for id in candidate.sessions]

    @property
    def merged(self) -> int:
        """Sessions that another one's task stands for."""
        return len(self.sessions) - len(self.candidates)

    def counts(self) -> dict[str, Any]:
        """The numbers, for JSON."""
        tools = self.homes.tools.values()
        return {
            "sessions": self.total,
            "left_out": {why: left.count for why, left in self.left.items()},
            **({"steps": dict(self.steps)} if self.steps else {}),
            "tasks": len(self.candidates),
            "merged": self.merged,
            "answers": dict(self.answers()),
            "with_user_turns": sum(bool(each.user_turns) for each in self.candidates),
            "tools": len(tools),
            "calls": sum(tool.calls for tool in tools),
            "reconstructed_calls": sum(tool.reconstructed for tool in tools),
        }

    def answers(self) -> Counter[str]:
        """Where reference answers come from."""
        return Counter(each.answer_source for each in self.candidates if each.answer_source is not None)

    def shown(self) -> dict[str, Any]:
        """What the templates see."""
        candidates = self.candidates
        started = [candidate.started for candidate in candidates]
        most = max((candidate.turns for candidate in candidates), default=0)
        return {
            "name": self.settings.name, "settings": self.settings, "query": self.settings.query,
            "description": _description(self), "servers": self._servers(),
            "total": self.total, "tasks": len(candidates), "sessions": len(self.sessions), "merged": self.merged,
            "left": [{"why": why, "count": left.count, "examples": left.examples} for why, left in self.left.items()],
            "steps": self.steps, "first": min(started, default=0.0), "last": max(started, default=0.0),
            "most_turns": most, "limit_turns": max(_FEWEST_TURNS, 2 * most),
            "several_turns": sum(bool(each.user_turns) for each in candidates),
            "mid": sum(any(turn.get("role") == "assistant" for turn in each.opening) for each in candidates),
            "answers": self.answers(), "rewards": _rewards(candidates), "by": _by(candidates),
            "lost": Counter(what for candidate in candidates for what in candidate.lost),
            "calls": sum(tool.calls for tool in self.homes.tools.values()), "redactions": self.redactions,
        }  # fmt: skip

    def _servers(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "reconstructed": name == self.homes.agent,
                "said": "What the agents ran by themselves, as their models were shown it."
                if name == self.homes.agent
                else "Calls came through the gateway.",
                "tools": [
                    {"name": t.name, "calls": t.calls, "errors": t.errors, "notes": ", ".join(_notes(t, self.homes))}
                    for t in tools
                ],
            }
            for name, tools in self.homes.servers().items()
        ]


def _description(captured: Captured) -> str:
    side = f" ({captured.side})" if captured.side else ""
    many = "" if len(captured.sessions) == 1 else "s"
    return f"Captured from {len(captured.sessions)} recorded session{many}{side}."


def _notes(tool: Tool, homes: Homes) -> list[str]:
    found = []
    if tool.server == homes.agent:
        found.append("reconstructed")
    elif tool.reconstructed:
        found.append(f"{tool.reconstructed} calls reconstructed")
    if len(tool.versions) > 1:
        found.append(f"{len(tool.versions)} versions of its schema")
    if tool.listed is None and not tool.versions:
        found.append("schema made of its calls")
    return found


def _rewards(candidates: Sequence[Candidate]) -> str:
    known = [candidate.reward for candidate in candidates if candidate.reward is not None]
    if not known:
        return "none"
    mean = sum(known) / len(known)
    return f"{len(known)} tasks, mean {mean:.3f}, from {min(known):.3g} to {max(known):.3g}"


def _by(candidates: Sequence[Candidate]) -> dict[str, list[tuple[str, int]]]:
    """How many tasks have which value, where there is any."""
    found: dict[str, list[tuple[str, int]]] = {}
    for column in _COLUMNS:
        counts = Counter(str(value) for each in candidates if (value := getattr(each, column)) is not None)
        if counts:
            named = counts.most_common(_MOST_NAMED)
            rest = sum(counts.values()) - sum(count for _, count in named)
            found[column] = [*named, *([("others", rest)] if rest else [])]
    return found
