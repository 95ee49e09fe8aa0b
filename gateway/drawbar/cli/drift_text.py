"""How well a cassette answered, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from drawbar.cli.output import counted
from drawbar.tools.cassettes.drift import KINDS, METADATA, RunDrift

_WORDS = {
    "hits": "hits",
    "stale": "hits recorded after other writes",
    "near": "near hits",
    "live": "asked of the live server",
    "misses": "misses",
}
_SHOWN = 5


def drift_lines(drift: Mapping[str, Any]) -> Iterator[Text]:
    """A run's drift from one of its cassettes (`RunDrift.report`)."""
    counts = ", ".join(f"{drift[kind]} {_WORDS[kind]}" for kind in KINDS if drift[kind] or kind in ("hits", "misses"))
    style = "red" if drift["misses"] else "yellow" if drift["near"] or drift["stale"] or drift["schema"] else "dim"
    yield Text(f"\nCassette {Path(str(drift['path'])).name} ({drift['mode']}): {counts}", style=style)
    if drift["unused"]:
        yield Text(f"  {drift['unused']} of {counted(drift['recorded'], 'recording')} never used", style="dim")
    for call in drift["missed"][:_SHOWN]:
        yield Text(f"  missed {call['count']}x  {call['tool']} {_arguments(call['arguments'])}  ({call['why']})")
    for call in drift["nearly"][:_SHOWN]:
        told = f"{_arguments(call['arguments'])} by {_arguments(call['recorded'])}"
        yield Text(f"  near {call['count']}x  {call['tool']} {told}  (likeness {call['likeness']})")
    for call in drift["unknown"][:_SHOWN]:
        yield Text(f"  no such tool {call['count']}x  {call['tool']} {_arguments(call['arguments'])}")
    more = sum(max(0, len(drift[kind]) - _SHOWN) for kind in ("missed", "nearly", "unknown"))
    if more:
        yield Text(f"  … {more} other calls (--json)", style="dim")
    for change in drift["schema"]:
        yield Text(f"  {change}")
    for path in drift["written"]:
        yield Text(f"  What the live server answered is in {path}")


def session_lines(metadata: Mapping[str, Any]) -> Iterator[Text]:
    """How well cassettes answered one session, and what it did not ask for of what it went along with."""
    total = RunDrift()
    total.add(kept := metadata.get(METADATA))
    for drift in total.report():
        yield from drift_lines({**drift, "unused": 0})
    for drift in kept if isinstance(kept, list) else ():
        for call in drift.get("not_used", ())[:_SHOWN]:
            yield Text(f"  recorded, and not asked for: {call['tool']} {_arguments(call['arguments'])}", style="dim")
        if drift.get("unused", 0) > _SHOWN:
            yield Text(f"  … {drift['unused'] - _SHOWN} more", style="dim")


def _arguments(value: Any) -> str:
    import orjson

    text = orjson.dumps(value).decode()
    return text if len(text) <= 120 else text[:119] + "…"
