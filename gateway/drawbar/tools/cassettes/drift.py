"""What a replay was like against what was recorded: counted for a session, kept with it, added up for a run. Pure.

A session keeps in its metadata, under `cassettes`, one of these for each cassette that it used:

    {"path": "shop.jsonl", "generation": 1, "mode": "by-arguments", "max_misses": 0,
     "hits": 5, "stale": 0, "near": 1, "live": 0, "misses": 1,
     "tools": {"refund": {"recorded": 40, "hits": 5, ..., "used": "0-3,7"}},   which of the tool's recordings answered
     "missed": [{"tool": "refund", "arguments": {"id": 9}, "why": "..."}],     the first of them
     "nearly": [{"tool", "arguments", "recorded", "likeness"}],
     "unknown": [{"tool", "arguments"}],                 calls of tools that there were none of: no misses
     "unused": 2, "not_used": [{"tool", "arguments"}],   of the recorded session that it went along with
     "schema": ["refund: its arguments changed"],        against the live server, where there is one
     "written": "shop.g2.jsonl"}                         the generation that new answers went into
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from drawbar.tools.cassettes.playing import Found
    from drawbar.tools.cassettes.tape import Take

KINDS: Final = ("hits", "stale", "near", "live", "misses")
"""How calls were answered. `stale`: by a recording after other writes; `live`: by the server; `misses`: not at all."""
METADATA: Final = "cassettes"
"""Where a session's metadata has its drift."""
MOST: Final = 20
"""So many calls of a kind are named for each session, and for a run."""
_LONG: Final = 500
"""Bytes of arguments beyond which they are named by their keys alone."""
_PARTS: Final = {
    "inputSchema": "arguments",
    "outputSchema": "results",
    "description": "description",
    "annotations": "hints",
}
"""What of a tool's definition is compared, and what it is called."""


@dataclass(slots=True)
class Drift:
    """One session's."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    used: dict[str, set[int]] = field(default_factory=dict)
    missed: list[dict[str, Any]] = field(default_factory=list)
    nearly: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[dict[str, Any]] = field(default_factory=list)

    def answered(self, tool: str, arguments: Mapping[str, Any], found: Found) -> None:
        """A recording answered."""
        self._count(tool, {"hit": "hits", "stale": "stale", "near": "near"}[found.how])
        self.used.setdefault(tool, set()).add(found.take.index)
        if found.how == "near" and len(self.nearly) < MOST:
            recorded = short(found.take.recording.arguments)
            near = {"tool": tool, "arguments": short(arguments), "recorded": recorded}
            self.nearly.append({**near, "likeness": round(found.likeness, 3)})

    def asked_live(self, tool: str) -> None:
        """The live server was asked."""
        self._count(tool, "live")

    def miss(self, tool: str, arguments: Mapping[str, Any], why: str) -> None:
        """Nothing answered."""
        self._count(tool, "misses")
        if len(self.missed) < MOST:
            self.missed.append({"tool": tool, "arguments": short(arguments), "why": why})

    def no_such_tool(self, tool: str, arguments: Mapping[str, Any]) -> None:
        """A tool was called that there is none of, and was none of when it was recorded."""
        if len(self.unknown) < MOST:
            self.unknown.append({"tool": tool, "arguments": short(arguments)})

    def total(self, kind: str) -> int:
        """Of all tools."""
        return sum(counts[kind] for counts in self.counts.values())

    def to_json(self, recorded: Mapping[str, int], unused: Sequence[tuple[str, Take]]) -> dict[str, Any]:
        """As a session keeps it. `recorded`: recordings by tool; `unused`: with the names of their tools."""
        return {
            **{kind: self.total(kind) for kind in KINDS},
            "tools": {
                tool: {"recorded": count, **self.counts.get(tool, {}), "used": _ranges(self.used.get(tool, ()))}
                for tool, count in {**dict.fromkeys(self.counts, 0), **recorded}.items()
            },
            "missed": self.missed,
            "nearly": self.nearly,
            "unknown": self.unknown,
            "unused": len(unused),
            "not_used": [{"tool": tool, "arguments": short(t.recording.arguments)} for tool, t in unused[:MOST]],
        }

    def _count(self, tool: str, kind: str) -> None:
        self.counts.setdefault(tool, Counter())[kind] += 1


class RunDrift:
    """Adds up the drift of a run's sessions."""

    def __init__(self) -> None:
        self._found: dict[tuple[Any, ...], _Sum] = {}

    def add(self, metadata: Any) -> None:
        """What a session keeps under `METADATA`; what does not look like that is passed over."""
        for each in metadata if isinstance(metadata, Sequence) else ():
            if isinstance(each, Mapping) and isinstance(each.get("tools"), Mapping):
                key = each.get("path"), each.get("generation"), each.get("mode")
                self._found.setdefault(key, _Sum()).add(each)

    def report(self) -> list[dict[str, Any]]:
        """For each cassette as `Drift.to_json` has it; `unused` counts recordings that no session used, and `missed`,
        `nearly` and `unknown` have equal calls once, with their `count`."""
        return [
            {"path": path, "generation": generation, "mode": mode, **found.to_json()}
            for (path, generation, mode), found in self._found.items()
        ]


@dataclass(slots=True)
class _Sum:
    sessions: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    recorded: dict[str, int] = field(default_factory=dict)
    used: dict[str, set[int]] = field(default_factory=dict)
    named: dict[str, dict[bytes, dict[str, Any]]] = field(
        default_factory=lambda: {"missed": {}, "nearly": {}, "unknown": {}}
    )
    schema: dict[str, None] = field(default_factory=dict)
    written: dict[str, None] = field(default_factory=dict)

    def add(self, drift: Mapping[str, Any]) -> None:
        self.sessions += 1
        for tool, found in drift["tools"].items():
            self.counts.setdefault(tool, Counter()).update({kind: int(found.get(kind, 0)) for kind in KINDS})
            self.recorded[tool] = max(self.recorded.get(tool, 0), int(found.get("recorded", 0)))
            self.used.setdefault(tool, set()).update(_numbers(str(found.get("used", ""))))
        for kind, known in self.named.items():
            for call in drift.get(kind) or ():
                key = orjson.dumps([call.get("tool"), call.get("arguments")], option=orjson.OPT_SORT_KEYS)
                if key in known or len(known) < MOST:
                    known.setdefault(key, {**call, "count": 0})["count"] += 1
        self.schema.update(dict.fromkeys(map(str, drift.get("schema") or ())))
        if drift.get("written"):
            self.written[str(drift["written"])] = None

    def to_json(self) -> dict[str, Any]:
        unused = {tool: max(0, count - len(self.used[tool])) for tool, count in self.recorded.items()}
        return {
            "sessions": self.sessions,
            **{kind: sum(counts[kind] for counts in self.counts.values()) for kind in KINDS},
            "recorded": sum(self.recorded.values()),
            "unused": sum(unused.values()),
            "tools": {
                tool: {"recorded": self.recorded[tool], **{k: counts[k] for k in KINDS}, "unused": unused[tool]}
                for tool, counts in self.counts.items()
            },
            **{kind: list(known.values()) for kind, known in self.named.items()},
            "schema": list(self.schema),
            "written": list(self.written),
        }


def schema_changes(recorded: Iterable[Mapping[str, Any]], live: Iterable[Mapping[str, Any]]) -> list[str]:
    """How a server's tools differ from those that were recorded, in words."""
    before, now = ({str(tool["name"]): tool for tool in tools} for tools in (recorded, live))
    found = [f"{name}: the live server has it no more" for name in before if name not in now]
    found += [f"{name}: it is new at the live server" for name in now if name not in before]
    words = {
        "inputSchema": "arguments",
        "outputSchema": "results",
        "description": "description",
        "annotations": "hints",
    }
    for name in before:
        changed = [word for key, word in words.items() if before[name].get(key) != now.get(name, before[name]).get(key)]
        if changed:
            found.append(f"{name}: its {' and '.join(changed)} changed")
    return found


def short(arguments: Mapping[str, Any]) -> Any:
    """Arguments as a report names them."""
    return arguments if len(orjson.dumps(arguments)) <= _LONG else {"keys": sorted(map(str, arguments))[:MOST]}


def _ranges(numbers: Iterable[int]) -> str:
    """`0-3,7`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def _numbers(ranges: str) -> Iterable[int]:
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            yield from range(int(first), int(last or first) + 1)
