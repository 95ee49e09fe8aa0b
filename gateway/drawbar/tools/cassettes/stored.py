"""Cassettes out of the record: the tool calls of stored sessions as recordings. Knows trajectories; opens no server."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from drawbar.tools.cassettes.format import Recording
from drawbar.tools.cassettes.recording import is_marked_read_only
from drawbar.trajectory import ToolCall, Trajectory

_CODE = re.compile(r"(-?\d+): ")
_NO_ANSWER = ("cassette_missed", "recorder_failed")
"""Causes of calls that say nothing of the server."""

Tools = Mapping[str, Sequence[Mapping[str, Any]]]
"""Tool definitions by server."""


def recordings(trajectories: Iterable[Trajectory], tools: Tools | None = None) -> Iterator[Recording]:
    """What the servers of these sessions were asked and answered, session by session.

    `tools` tells which of them only read. Calls that reached no server, or have no end, are left out.
    """
    for trajectory in trajectories:
        yield from _of_session(trajectory, tools or {})


def servers_of(recordings: Iterable[Recording], tools: Tools | None = None) -> dict[str, dict[str, Any]]:
    """The header's servers: as listed in `tools`, or else with what the calls show of each tool's arguments."""
    seen: dict[str, dict[str, dict[str, None]]] = defaultdict(dict)
    for recording in recordings:
        seen[recording.server].setdefault(recording.tool, {}).update(dict.fromkeys(recording.arguments))
    found: dict[str, dict[str, Any]] = {server: {"tools": list(listed)} for server, listed in (tools or {}).items()}
    for server, names in seen.items():
        shown = [{"name": name, "inputSchema": _schema(keys)} for name, keys in names.items()]
        found.setdefault(server, {"tools": shown, "reconstructed": True})
    return found


def _schema(keys: Iterable[str]) -> dict[str, Any]:
    return {"type": "object", "properties": {key: {} for key in keys}}


def _of_session(trajectory: Trajectory, tools: Tools) -> Iterator[Recording]:
    seq = writes = 0
    for call in trajectory.tool_calls:
        answer = _answer(call)
        if not call.server or answer is None:
            continue
        write = not is_marked_read_only(tools.get(call.server, ()), call.tool)
        yield Recording(
            server=call.server, tool=call.tool, arguments=dict(call.arguments), **answer,
            session=trajectory.id, seq=seq, write=write, writes=writes,
            task=trajectory.task.key if trajectory.task is not None else None,
            rollout=trajectory.rollout, attempt=trajectory.attempt,
            started=call.started, seconds=None if call.ended is None else call.ended - call.started,
        )  # fmt: skip
        seq, writes = seq + 1, writes + write


def _answer(call: ToolCall) -> dict[str, Any] | None:
    """The result or the error; None: the call tells nothing of its server."""
    if call.status == "started" or call.cause in _NO_ANSWER:
        return None
    if call.status == "answered" and call.result is not None:
        return {"result": msgspec.Raw(orjson.dumps(call.result))}
    message = call.error or call.text
    if call.status == "answered":
        refusal = _CODE.match(message)
        return None if refusal is None else {"error": {"code": int(refusal[1]), "message": message[refusal.end() :]}}
    cause = call.cause or ("cancelled" if call.status == "cancelled" else "tool_server_failed")
    return {"error": {"cause": cause, "message": call.error or "The call was cancelled."}}
