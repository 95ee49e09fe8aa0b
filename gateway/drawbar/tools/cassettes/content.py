"""What a cassette holds, and how two of them differ. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from drawbar.tools.cassettes.counting import Counting
from drawbar.tools.cassettes.drift import schema_changes, short
from drawbar.tools.cassettes.format import Header, Recording

Content = tuple[Header, Sequence[Recording]]


def described(header: Header, recordings: Sequence[Recording]) -> dict[str, Any]:
    """Counts of everything."""
    tools = {(server, str(tool["name"])): tool for server in header.servers for tool in header.tools(server)}
    counts: dict[tuple[str, str], Counter[str]] = {name: Counter() for name in tools}
    keys: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    counting = Counting()
    for recording in recordings:
        name = recording.server, recording.tool
        counts.setdefault(name, Counter()).update(calls=1, errors=_failed(recording), writes=recording.write)
        keys[name].add(counting.key(recording.tool, recording.arguments))
    return {
        "environment": header.environment,
        "generation": header.generation,
        "recorded": header.recorded,
        "parent": header.more.get("parent"),
        "calls": len(recordings),
        "sessions": len({recording.session for recording in recordings}),
        "tasks": len({recording.task for recording in recordings if recording.task is not None}),
        "tools": [
            {"server": server, "tool": tool, "listed": (server, tool) in tools, "calls": count["calls"],
             "arguments": len(keys[server, tool]), "errors": count["errors"], "writes": count["writes"] > 0}
            for (server, tool), count in counts.items()
        ],
    }  # fmt: skip


def problems(header: Header, recordings: Sequence[Recording]) -> Iterator[str]:
    """What a replay would stumble over."""
    listed = {(server, str(tool["name"])) for server in header.servers for tool in header.tools(server)}
    if not listed:
        yield "its header lists no tools, so agents are offered none"
    if not recordings:
        yield "it holds no calls"
    only = next(iter(header.servers), "") if len(header.servers) == 1 else ""
    lost = {f"{r.server or only}.{r.tool}" for r in recordings if (r.server or only, r.tool) not in listed}
    if listed and lost:
        yield f"it has calls of tools that its header does not list: {', '.join(sorted(lost)[:5])}"


def differences(one: Content, other: Content, ignore: Sequence[str] = ()) -> dict[str, Any]:
    """What `other` has otherwise: tools, calls that only one of them has, and calls that are answered otherwise."""
    before, after = (_by_call(recordings, Counting(ignore)) for _, recordings in (one, other))
    schema = []
    for server in {**one[0].servers, **other[0].servers}:
        both = [header.tools(server) if server in header.servers else [] for header in (one[0], other[0])]
        schema += schema_changes(*both)
    return {
        "schema": schema,
        "gone": [_told(before[key][0]) for key in before if key not in after],
        "new": [_told(after[key][0]) for key in after if key not in before],
        "changed": [_told(before[k][0]) for k in before if k in after and _answers(before[k]) != _answers(after[k])],
        "same": sum(1 for key in before if key in after and _answers(before[key]) == _answers(after[key])),
    }


def _by_call(recordings: Sequence[Recording], counting: Counting) -> Mapping[tuple[str, str, bytes], list[Recording]]:
    found: dict[tuple[str, str, bytes], list[Recording]] = defaultdict(list)
    for recording in recordings:
        key = counting.key(recording.tool, recording.arguments)
        found[recording.server, recording.tool, key].append(recording)
    return found


def _answers(recordings: Sequence[Recording]) -> set[bytes]:
    return {
        orjson.dumps([r.error, orjson.loads(bytes(r.result)) if r.error is None else None], option=orjson.OPT_SORT_KEYS)
        for r in recordings
    }


def _told(recording: Recording) -> dict[str, Any]:
    return {"server": recording.server, "tool": recording.tool, "arguments": short(recording.arguments)}


def _failed(recording: Recording) -> bool:
    return recording.error is not None or (recording.answer or {}).get("isError") is True
