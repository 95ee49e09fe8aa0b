"""The tool calls of a session as recordings: those that came through the gateway in full, those that its agent made by
itself as far as the model's messages tell of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import orjson

from drawbar.record.asked import Asked, model_side
from drawbar.tools.cassettes.format import Recording
from drawbar.tools.cassettes.recording import is_marked_read_only
from drawbar.tools.cassettes.stored import Tools, recordings
from drawbar.trajectory import Call, ToolCall, Trajectory

OWN = ""
"""The server of calls that an agent made by itself, until all sessions are read and they have a home."""
FREE_TEXT = "input"
"""The one argument of tools that take a text of their own grammar."""


@dataclass(frozen=True, slots=True)
class Used:
    """A tool of a server, and what the model called it."""

    server: str
    tool: str
    name: str


def recorded_calls(
    trajectory: Trajectory, tools: Tools, read_only: Collection[str] = (), free: Collection[str] = ()
) -> list[Recording]:
    """All tool calls that were answered, sub-agents' too, in the order in which they began.

    `tools`: what servers say of theirs. `read_only`: patterns of tools that only read. `free`: names of tools that take
    a text. Calls that an agent made by itself have the server `OWN`, and their tool's name is the one that the model
    used.
    """
    served = list(recordings([trajectory], tools))
    known = {used.name for used in used_names(trajectory)}
    found = sorted([*served, *_own(trajectory, known, free)], key=lambda each: each.started or 0.0)
    writes = 0
    for seq, each in enumerate(found):
        each.seq, each.writes = seq, writes
        each.write = not (_only_reads(each, read_only) or is_marked_read_only(tools.get(each.server, ()), each.tool))
        writes += each.write
    return found


def _only_reads(recording: Recording, patterns: Collection[str]) -> bool:
    names = (recording.tool, f"{recording.server}.{recording.tool}")
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def used_names(trajectory: Trajectory) -> list[Used]:
    """What the model called the tools of servers; a tool whose calls were joined to none by its own name."""
    replies = {call.id: call for call in trajectory.calls}
    found = {Used(call.server, call.tool, _used(call, replies)): None for call in trajectory.tool_calls if call.server}
    return list(found)


def _used(call: ToolCall, replies: Mapping[str, Call]) -> str:
    reply = replies.get(call.asked_by or "")
    uses = reply.message.tool_uses if reply is not None and reply.message is not None else ()
    meant = [use.name for use in uses if use.id == (call.tool_use_id or "")]
    ends = [name for name in meant if name.endswith(call.name)]  # a tool may be called through another one
    return (ends or [call.name])[0]


def _own(trajectory: Trajectory, served: Collection[str], free: Collection[str]) -> Iterator[Recording]:
    """Of each tool use that a server's tool was not meant by, what the model was shown."""
    task = trajectory.task.key if trajectory.task is not None else None
    ends = _next_requests(trajectory)
    for asked in model_side(trajectory.calls, trajectory.nodes).asked:
        arguments = _arguments(asked, free)
        if asked.result is None or arguments is None or asked.use.name in served:
            continue
        began = asked.call.ended or asked.call.started
        yield Recording(
            server=OWN, tool=asked.use.name, arguments=arguments, result=_result(asked), session=trajectory.id,
            task=task, rollout=trajectory.rollout, attempt=trajectory.attempt,
            started=began, seconds=max(0.0, ends[asked.call.id] - began) if asked.call.id in ends else None,
        )  # fmt: skip


def _next_requests(trajectory: Trajectory) -> dict[str, float]:
    """When each call was first gone on from: by then its tools had answered."""
    found: dict[str, float] = defaultdict(lambda: float("inf"))
    for call in trajectory.calls:
        if call.follows is not None:
            found[call.follows] = min(found[call.follows], call.started)
    return dict(found)


def _arguments(asked: Asked, free: Collection[str]) -> dict[str, Any] | None:
    if asked.use.arguments is None and asked.use.name in free:
        return {FREE_TEXT: asked.use.raw}
    return asked.use.arguments


def _result(asked: Asked) -> msgspec.Raw:
    assert asked.result is not None
    value: dict[str, Any] = {"content": [{"type": "text", "text": asked.result.text}]}
    if asked.result.is_error:
        value["isError"] = True
    return msgspec.Raw(orjson.dumps(value))
