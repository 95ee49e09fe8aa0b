"""What was said in a rollout of TRL's, as the model calls that it would have been over an API.

TRL's messages are chat messages without ids, with a call's arguments as an object. They get ids here, in order, and
arguments become their JSON text: so the chat API has them. A call's times are those between the tool calls around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from drawbar.proxy.call import Call
from drawbar.record.rows import CallRow, Row
from drawbar.sessions import Session
from drawbar.wire import CHAT
from drawbar.wire.notes import with_notes
from drawbar.wire.route import Route
from drawbar.wire.tolerant import dump

_ROUTE = Route(CHAT, "/v1/chat/completions")


@dataclass(frozen=True, slots=True)
class Told:
    """A whole rollout, as TRL has it."""

    prompt: Sequence[Mapping[str, Any]]
    completion: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    """As MCP has them."""
    model: str
    policy_version: str | None


def rows_of(
    session: Session, told: Told, began: float, called: Sequence[tuple[float, float]], ended: float
) -> list[Row]:
    """The rows of all model calls of a session. `called`: from when to when its tool calls went, in order."""
    messages = [*told.prompt, *_with_ids(told.completion)]
    found: list[Row] = []
    left, since = list(called), began
    for place, message in enumerate(messages[len(told.prompt) :], len(told.prompt)):
        if message.get("role") != "assistant":
            continue
        asked = min(len(message.get("tool_calls") or ()), len(left))
        until = left[0][0] if asked else ended
        rows = _call(session, told, messages[:place], message)
        found += (
            msgspec.structs.replace(row, started=since, ended=until) if isinstance(row, CallRow) else row
            for row in rows
        )
        if asked:
            since = left[asked - 1][1]
            del left[:asked]
    return found


def _call(session: Session, told: Told, before: Sequence[Mapping[str, Any]], reply: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of one, which was answered."""
    body = {"model": told.model, "messages": before, **({"tools": _offered(told.tools)} if told.tools else {})}
    request = CHAT.split(dump(body))
    if told.policy_version is not None:
        envelope = with_notes(request.envelope, {"policy_version": told.policy_version})
        request = replace(request, envelope=envelope)
    finish = "tool_calls" if reply.get("tool_calls") else None  # TRL does not tell whether the last one was cut off
    choice = {"index": 0, "message": reply, "finish_reason": finish}
    call = Call(session, _ROUTE, session.epoch)
    begun = [row for row in call.begin(request) if not isinstance(row, CallRow)]
    answer = CHAT.response(dump({"object": "chat.completion", "model": told.model, "choices": [choice]}))
    yield from begun
    for row in call.answered(answer, 200):
        yield msgspec.structs.replace(row, upstream=told.model) if isinstance(row, CallRow) else row


def _with_ids(completion: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The messages as the chat API has them: results belong to the calls before them, in order."""
    asked: list[str] = []
    number = 0
    for message in completion:
        if message.get("role") == "tool":
            yield {"role": "tool", "tool_call_id": asked.pop(0) if asked else "", "content": message.get("content")}
            continue
        calls: list[dict[str, Any]] = []
        for call in message.get("tool_calls") or ():
            number += 1
            function = call["function"]
            arguments = dump(function.get("arguments") or {}).decode()
            said = {"name": function["name"], "arguments": arguments}
            calls.append({"id": f"call_{number}", "type": "function", "function": said})
        asked = [call["id"] for call in calls]
        rest = {name: value for name, value in message.items() if name != "tool_calls" and value is not None}
        yield {**rest, "content": rest.get("content") or None, **({"tool_calls": calls} if calls else {})}


def _offered(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": tool.get("description") or "",
                "parameters": tool.get("inputSchema") or {"type": "object", "properties": {}},
            },
        }
        for tool in tools
    ]
