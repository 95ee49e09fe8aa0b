"""A session's rows as a `Trajectory`: messages in normal form, both sides of the tool calls joined, health judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from drawbar.record import health
from drawbar.record.asked import model_side
from drawbar.record.join import Called, Joined, join
from drawbar.record.load import Material
from drawbar.record.restitching import restitched
from drawbar.record.rows import CallRow, NodeRow, ScoreRow, ToolCallRow
from drawbar.record.said import Said
from drawbar.record.seen import Later, seen
from drawbar.record.spoken import spoken
from drawbar.task import Task
from drawbar.threads import threads
from drawbar.trajectory import Call, Node, Score, ToolCall, Trajectory
from drawbar.wire.dialect import BadBody, Dialect
from drawbar.wire.message import Message, Other


def trajectory(material: Material, dialects: Mapping[str, Dialect]) -> Trajectory:
    """The read-only view of a session."""
    reader = _Reader(dialects)
    nodes = {row.id: reader.node(row, depth) for row, depth in _in_order(material)}
    said = [_call(row, reader.reply(row, nodes, material.blobs), nodes, material.blobs) for row in material.calls]
    calls = restitched(said, nodes, dialects)
    side = model_side(calls, nodes)
    called = [_called(row) for row in material.tool_calls]
    joined = join(side.asked, called)
    joined |= spoken(calls, (call for call in called if call.id not in joined))
    later = Later(calls, nodes)
    tool_calls = [
        _tool_call(row, call, joined.get(row.id), later) for row, call in zip(material.tool_calls, called, strict=True)
    ]
    session = material.session
    return Trajectory(
        id=session.id,
        origin=session.origin,
        continues=session.continues,
        run=session.run,
        environment=session.environment,
        environment_version=session.environment_version,
        task=Task.recorded(session.task),
        rollout=session.rollout,
        attempt=session.attempt,
        harness=session.harness,
        model=session.model,
        status=session.status,
        stop=session.stop,
        error=session.error,
        started=session.started,
        ended=session.ended,
        metadata=_object(session.metadata),
        calls=calls,
        tool_calls=tool_calls,
        nodes=nodes,
        scores=[_score(row) for row in material.scores],
        health=health.findings(calls, tool_calls, nodes, reader.unreadable, side, joined, threads(calls, nodes)),
    )


class _Reader:
    """Reads messages into normal form, and remembers those that could not be."""

    def __init__(self, dialects: Mapping[str, Dialect]) -> None:
        self._dialects = dialects
        self.unreadable: list[bytes] = []

    def node(self, row: NodeRow, depth: int) -> Node:
        return Node(row.id, row.parent, depth, row.dialect, row.body, self._message(row.id, row.dialect, row.body))

    def reply(self, call: CallRow, nodes: Mapping[bytes, Node], blobs: Mapping[bytes, bytes]) -> Message | None:
        """A call's reply in the words in which it was given."""
        if call.reply is None:
            return None
        own = blobs.get(call.reply_body) if call.reply_body is not None else None
        if own is not None:
            return self._message(call.reply, call.dialect, own)
        return nodes[call.reply].message if call.reply in nodes else None

    def _message(self, id: bytes, dialect: str, body: bytes) -> Message:
        try:
            return self._dialects[dialect].normal(body)
        except (BadBody, KeyError):
            self.unreadable.append(id)
            return Message("user", (Other({"unreadable": body.decode(errors="replace")}),))


def _in_order(material: Material) -> list[tuple[NodeRow, int]]:
    """The nodes as they came up in the session, each after its parent, with its depth."""
    depths: dict[bytes, int] = {}
    ordered: list[tuple[NodeRow, int]] = []
    for call in material.calls:
        for leaf in (call.request, call.reply):
            new: list[NodeRow] = []
            while leaf is not None and leaf not in depths and (row := material.nodes.get(leaf)) is not None:
                new.append(row)
                leaf = row.parent
            depth = -1 if leaf is None else depths.get(leaf, -1)
            for row in reversed(new):
                depth += 1
                depths[row.id] = depth
                ordered.append((row, depth))
    return ordered


def _call(row: CallRow, message: Message | None, nodes: Mapping[bytes, Node], blobs: Mapping[bytes, bytes]) -> Call:
    def body(name: bytes | None) -> bytes | None:
        return None if name is None else blobs.get(name)

    node = nodes.get(row.reply) if row.reply is not None else None
    return Call(
        id=row.id,
        seq=row.seq,
        dialect=row.dialect,
        model=row.model,
        upstream=row.upstream,
        request=row.request,
        reply=row.reply,
        message=message,
        status=row.status,
        http_status=row.http_status,
        cause=row.cause,
        error=row.error,
        finish=row.finish,
        streamed=row.streamed,
        attempts=row.attempts,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cached_tokens=row.cached_tokens,
        reasoning_tokens=row.reasoning_tokens,
        cost=row.cost,
        started=row.started,
        first_byte=row.first_byte,
        ended=row.ended,
        follows=row.follows,
        edge=row.edge,
        thread=row.thread,
        parent_thread=row.parent_thread,
        purpose=row.purpose,
        tools=body(row.tools),
        request_envelope=body(row.request_envelope),
        response_envelope=body(row.response_envelope),
        reply_body=body(row.reply_body) or (node.body if node is not None else None),
    )


def _tool_call(row: ToolCallRow, called: Called, joined: Joined | None, later: Later) -> ToolCall:
    result = _object(row.result) if row.result is not None else None
    shown = _object(row.shown) if row.shown is not None else result
    return ToolCall(
        id=row.id,
        seq=row.seq,
        server=row.server,
        tool=row.tool,
        name=row.name,
        arguments=_object(row.arguments),
        result=result,
        shown=shown,
        text=called.said.text if called.said is not None and row.shown is None else Said.of(shown or {}).text,
        is_error=row.is_error,
        status=row.status,
        error=row.error,
        started=row.started,
        ended=row.ended,
        meta=called.meta,
        tool_use_id=(joined.asked.use.id or None) if joined is not None else None,
        asked_by=joined.asked.call.id if joined is not None else None,
        joined_by=joined.by if joined is not None else None,
        seen=seen(called, joined.asked, row.ended, later) if joined is not None else None,
        cause=row.cause,
    )


def _called(row: ToolCallRow) -> Called:
    """What the server said; where it said nothing, what the gateway said in its place."""
    told = row.result if row.result is not None else row.shown
    answered = told is not None and row.status in ("answered", "failed")
    return Called(
        row.id, row.name, _object(row.arguments), _object(row.meta), row.started,
        Said.of(_object(told)) if told is not None and answered else None,
    )  # fmt: skip


def _score(row: ScoreRow) -> Score:
    return Score(
        name=row.name,
        kind=row.kind,
        value=row.value,
        weight=row.weight,
        rubric_version=row.rubric_version,
        source=row.source,
        explanation=row.explanation,
        error=row.error,
        usage=_object(row.usage) if row.usage is not None else None,
        created=row.created,
        call=row.call,
    )


def _object(body: bytes) -> dict[str, Any]:
    """A JSON object out of the store. What is none (a hook may have redacted it) is kept under `unreadable`."""
    try:
        value = orjson.loads(body)
    except ValueError:
        value = body.decode(errors="replace")
    return value if isinstance(value, dict) else {"unreadable": value}
