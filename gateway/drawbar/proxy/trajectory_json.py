"""Trajectories as JSON: what the control API sends and `drawbar run --gateway` reads back.

Digests are in hexadecimal. A message stands as its dialect said it; the normal form of a call's reply, which may say
more than its node (reasoning), stands beside it as blocks that name their type. A call's `follows` is the id of the
call that it goes on from, and its `edge` says how much of that call's reply it says again. `threads` are the
conversations, the main one first: {"name", "kind", "parent", "tool_use_id", "calls": [ids]}. They and `reward` follow
from the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import orjson

from drawbar.task import Task
from drawbar.threads import Thread
from drawbar.trajectory import Call, Finding, Node, Score, ToolCall, Trajectory
from drawbar.wire import DIALECTS
from drawbar.wire.message import Media, Message, Other, Reasoning, Text, ToolResult, ToolUse
from drawbar.wire.tolerant import dump, load_whole

_BLOCKS: Final[dict[str, Any]] = {
    "text": Text, "reasoning": Reasoning, "tool_use": ToolUse, "tool_result": ToolResult,
    "media": Media, "other": Other,
}  # fmt: skip
_KINDS: Final = {block: kind for kind, block in _BLOCKS.items()}
_RAW: Final = ("tools", "request_envelope", "response_envelope", "reply_body")
"""Fields of a call that are JSON texts."""


def trajectory_to_json(trajectory: Trajectory) -> bytes:
    """The whole trajectory as one JSON object."""
    value = _plain(trajectory, but=("task", "calls", "tool_calls", "nodes", "scores", "health", "metadata"))
    value["task"] = None if trajectory.task is None else orjson.Fragment(trajectory.task.to_json())
    value["metadata"] = dict(trajectory.metadata)
    value["nodes"] = [_node_out(node) for node in trajectory.nodes.values()]
    value["calls"] = [_call_out(call) for call in trajectory.calls]
    value["tool_calls"] = [_plain(call) for call in trajectory.tool_calls]
    value["scores"] = [_plain(score) for score in trajectory.scores]
    value["health"] = [_plain(finding) for finding in trajectory.health]
    value["reward"] = trajectory.reward
    value["threads"] = [thread_to_json(thread) for thread in trajectory.threads]
    return dump(value)


def thread_to_json(thread: Thread) -> dict[str, Any]:
    """A conversation, its calls by their ids."""
    return {**_plain(thread, but=("calls",)), "calls": [call.id for call in thread.calls]}


def trajectory_from_json(data: bytes) -> Trajectory:
    """What `trajectory_to_json` wrote."""
    value = load_whole(data)
    for derived in ("reward", "threads"):
        value.pop(derived, None)
    task = value.pop("task")
    nodes = [_node_in(node) for node in value.pop("nodes")]
    return Trajectory(
        task=None if task is None else Task.from_json(orjson.dumps(task)),
        nodes={node.id: node for node in nodes},
        calls=[_call_in(call) for call in value.pop("calls")],
        tool_calls=[ToolCall(**call) for call in value.pop("tool_calls")],
        scores=[Score(**score) for score in value.pop("scores")],
        health=[Finding(**finding) for finding in value.pop("health")],
        **value,
    )


def _plain(record: Any, *, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """A dataclass's own fields, those in `but` left out."""
    return {f.name: _value(getattr(record, f.name)) for f in fields(record) if f.name not in but}


def _value(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _node_out(node: Node) -> dict[str, Any]:
    return {
        "id": node.id.hex(),
        "parent": _hex(node.parent),
        "depth": node.depth,
        "dialect": node.dialect,
        "body": orjson.Fragment(node.body),
    }


def _node_in(value: dict[str, Any]) -> Node:
    body = dump(value["body"])
    return Node(
        id=bytes.fromhex(value["id"]),
        parent=_bytes(value["parent"]),
        depth=value["depth"],
        dialect=value["dialect"],
        body=body,
        message=DIALECTS[value["dialect"]].normal(body),
    )


def _call_out(call: Call) -> dict[str, Any]:
    value = _plain(call, but=("request", "reply", "message", *_RAW))
    value |= {name: _text(getattr(call, name)) for name in _RAW}
    value["request"], value["reply"] = _hex(call.request), _hex(call.reply)
    value["message"] = None if call.message is None else _message_out(call.message)
    return value


def _call_in(value: dict[str, Any]) -> Call:
    message = value.pop("message")
    value |= {name: None if value[name] is None else value[name].encode() for name in _RAW}
    value["request"], value["reply"] = _bytes(value["request"]), _bytes(value["reply"])
    return Call(message=None if message is None else _message_in(message), **value)


def _message_out(message: Message) -> dict[str, Any]:
    return {"role": message.role, "blocks": [{"block": _KINDS[type(b)], **_plain(b)} for b in message.blocks]}


def _message_in(value: dict[str, Any]) -> Message:
    return Message(value["role"], tuple(_BLOCKS[block.pop("block")](**block) for block in value["blocks"]))


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else bytes.fromhex(value)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
