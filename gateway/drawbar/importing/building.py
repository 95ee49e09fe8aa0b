"""From one conversation to the rows that the gateway would have written, had it been there.

Ids are made of the content, so that a session is known again whatever its file is called. Where no times are told, the
file's own is taken, and each step is a moment after the one before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from msgspec.structs import replace

from drawbar.ids import digest
from drawbar.importing.conversation import Conversation, Exchange, Given, Outcome
from drawbar.importing.opening import Source
from drawbar.importing.packet import Packet
from drawbar.record import health, view
from drawbar.record.archive import Archived, material
from drawbar.record.graph import SessionGraph
from drawbar.record.rows import (
    BlobRow,
    CallRow,
    HealthRow,
    NodeRow,
    RunRow,
    ScoreRow,
    SessionRow,
    ToolCallRow,
)
from drawbar.record.stitching import CallTree, Turn
from drawbar.record.summary import summary_of
from drawbar.wire import CHAT, DIALECTS
from drawbar.wire.message import ToolUse
from drawbar.wire.tolerant import dump

_STEP: Final = 1e-3
"""Seconds between steps of which no time is told."""
_PATH: Final = "/v1/chat/completions"


def packet(said: Conversation, format: str, place: str, source: Source) -> Packet:
    """The rows of a conversation.

    Raises:
        ValueError: it has no exchange, or a message that cannot be read.
    """
    if not said.exchanges:
        raise ValueError("there is no reply of a model's in it")
    return Packet(place, _Builder(said, format, source).archived(), by_content=True, losses=list(said.losses.items()))


class _Builder:
    """One session under way."""

    def __init__(self, said: Conversation, format: str, source: Source) -> None:
        self._said = said
        self._format = format
        self._source = source
        self._name = digest(format.encode(), b"\0", said.content).hex()[:24]
        self.id = f"ses_{self._name}"
        times = (exchange.started for exchange in said.exchanges)
        self._now = said.started or next((time for time in times if time is not None), None) or source.modified
        self._started = self._now
        self._graph = SessionGraph()
        self._tree: CallTree[str] = CallTree()
        self._bodies: dict[int, bytes] = {}
        self._nodes: dict[bytes, NodeRow] = {}
        self._blobs: list[BlobRow] = []
        self._calls: list[CallRow] = []
        self._tool_calls: list[ToolCallRow] = []
        self._shown = _shown(said)

    def archived(self) -> Archived:
        """All of it, its health and its sums included."""
        for exchange in self._said.exchanges:
            self._exchange(exchange)
        ended = max(self._said.ended or self._now, self._started)
        archived = Archived(
            session=self._session(ended),
            run=self._run(ended),
            nodes=tuple(self._nodes.values()),
            blobs=tuple({blob.digest: blob for blob in self._blobs}.values()),
            calls=tuple(self._calls),
            tool_calls=tuple(self._tool_calls),
            scores=tuple(self._score(number, given, ended) for number, given in enumerate(self._said.scores)),
        )
        seen = view.trajectory(material(archived), DIALECTS)
        looked = HealthRow(session=self.id, findings=health.to_json(seen.health), created=ended)
        return replace(archived, health=looked, summary=summary_of(seen))

    def _session(self, ended: float) -> SessionRow:
        said = self._said
        origin = {"format": self._format, "file": self._source.path.name, "id": said.id, **said.origin}
        imported = {name: value for name, value in origin.items() if value is not None}
        return SessionRow(
            id=self.id,
            run=self._run_id,
            environment=said.environment,
            environment_version=said.environment_version,
            task_key=said.task.key if said.task is not None else None,
            task_hash=said.task.hash if said.task is not None else None,
            task=said.task.to_json() if said.task is not None else None,
            rollout=said.rollout,
            harness=said.harness,
            model=said.model or next((it.model for it in said.exchanges if it.model), None),
            metadata=dump({**said.metadata, "imported": imported}),
            status="ended",
            stop=said.stop,
            error=said.error,
            started=self._started,
            ended=ended,
        )

    @property
    def _run_id(self) -> str | None:
        run = self._said.run
        return None if run is None else f"run_{digest(self._format.encode(), b'/', run.id.encode()).hex()[:24]}"

    def _run(self, ended: float) -> RunRow | None:
        run, id = self._said.run, self._run_id
        if run is None or id is None:
            return None
        return RunRow(
            id=id,
            environment=self._said.environment or "",
            environment_version=self._said.environment_version or "",
            rubric_version=self._format,
            harness=self._said.harness or "",
            model=self._said.model or "",
            rollouts=run.rollouts,
            config=dump({"imported": {"format": self._format, "id": run.id}}),
            status=run.status,
            started=run.started or self._started,
            ended=run.ended or ended,
        )

    def _exchange(self, exchange: Exchange) -> None:
        messages = [self._body(message) for message in exchange.asked]
        path, new = self._graph.request(CHAT, messages)
        place = self._tree.find(CHAT, path, messages, exchange.thread)
        number = len(self._calls)
        turn = Turn(f"call_{self._name[:16]}_{number:04}", self.id, path[-1] if path else None, exchange.thread)
        self._tree.add(turn, place)
        self._nodes |= {node.id: node for node in new}
        row = self._call(exchange, turn, number)
        if exchange.reply is not None:
            body = self._body(exchange.reply)
            reply, told, said = self._graph.reply(CHAT, turn.leaf, body)
            self._tree.replied(turn, reply, CHAT, body)
            self._reply(reply, told[0], said)
            row = replace(row, reply=reply, reply_body=said)
        follows = place.follows.call if place.follows is not None else None
        self._calls.append(replace(row, follows=follows, edge=place.edge if follows else None))
        if exchange.reply is not None:
            self._used(CHAT.normal(self._body(exchange.reply)).tool_uses)

    def _reply(self, id: bytes, node: NodeRow, said: bytes) -> None:
        """A reply's node; where it was said before after other thoughts, its own words as a blob."""
        there = self._nodes.get(id)
        if there is None:
            self._nodes[id] = replace(node, said=None)
        elif there.body != node.body:
            self._blobs.append(BlobRow(digest=said, body=node.body))

    def _call(self, exchange: Exchange, turn: Turn[str], number: int) -> CallRow:
        started = self._at(exchange.started)
        usage = exchange.usage
        asked = {"model": exchange.model, **exchange.sampling}
        choice = {"index": 0, "finish_reason": exchange.finish}
        answered: dict[str, Any] = {"model": exchange.model, "choices": [choice]}
        if exchange.tokens:
            answered["drawbar"] = {"told": exchange.tokens}
        return CallRow(
            id=turn.call,
            session=self.id,
            seq=number,
            dialect=CHAT.name,
            path=_PATH,
            model=exchange.model or self._said.model or "unknown",
            request=turn.leaf,
            tools=self._blob(list(exchange.tools)) if exchange.tools else None,
            request_envelope=self._blob(asked),
            response_envelope=self._blob(answered) if exchange.reply is not None else None,
            status="answered" if exchange.reply is not None else "failed",
            cause=None if exchange.reply is not None else "upstream_broken",
            error=exchange.error,
            finish=exchange.finish,
            attempts=1,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cost=usage.cost,
            started=started,
            ended=self._at(exchange.ended),
            thread=exchange.thread,
            purpose=exchange.purpose,
        )

    def _used(self, uses: tuple[ToolUse, ...]) -> None:
        """The tool calls that a reply asks for and that were answered."""
        for use in uses:
            outcome = self._said.outcomes.get(use.id) or self._shown.get(use.id)
            if outcome is None:
                continue
            if outcome.content is None and use.id in self._shown:
                outcome.content = self._shown[use.id].content
            number = len(self._tool_calls)
            result = {"content": list(_blocks(outcome.content)), "isError": outcome.error is not None}
            self._tool_calls.append(
                ToolCallRow(
                    id=f"tool_{self._name[:16]}_{number:04}",
                    session=self.id,
                    seq=number,
                    server=self._format,
                    tool=use.name,
                    name=use.name,
                    arguments=use.raw.encode(errors="replace") if use.arguments is not None else b"{}",
                    meta=dump({"drawbar/toolUseId": use.id}),
                    result=dump(result),
                    is_error=outcome.error is not None,
                    status="answered",
                    error=outcome.error,
                    started=self._at(outcome.started),
                    ended=self._at(outcome.ended),
                )
            )

    def _score(self, number: int, given: Given, created: float) -> ScoreRow:
        value, error = given.value, given.error
        if value is not None and math.isnan(value):
            value, error = None, error or "it is not a number"
        return ScoreRow(
            id=f"sco_{self._name[:16]}_{number:04}",
            session=self.id,
            name=given.name,
            kind="reward" if given.weight else "metric",
            value=value,
            weight=given.weight,
            rubric_version=self._format,
            source="import",
            explanation=given.explanation,
            error=error,
            created=created,
        )

    def _at(self, told: float | None) -> float:
        """When a step was; time never goes back."""
        self._now = max(self._now, told) if told is not None else self._now + _STEP
        return self._now

    def _body(self, message: Mapping[str, Any]) -> bytes:
        """A message's JSON, made once."""
        known = self._bodies.get(id(message))
        if known is None:
            known = self._bodies[id(message)] = dump(message)
        return known

    def _blob(self, value: Any) -> bytes:
        name, new = self._graph.blob(dump(value))
        self._blobs += new
        return name


def _shown(said: Conversation) -> dict[str, Outcome]:
    """What the model was shown of each tool call."""
    found: dict[str, Outcome] = {}
    for exchange in said.exchanges:
        for message in exchange.asked:
            id = message.get("tool_call_id")
            if message.get("role") == "tool" and isinstance(id, str):
                found.setdefault(id, Outcome(message.get("content")))
    return found


def _blocks(content: Any) -> Iterator[dict[str, Any]]:
    """A tool message's content as the blocks of an MCP result."""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield {"type": "text", "text": part}
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            yield {"type": "text", "text": part["text"]}
        elif isinstance(part, dict) and isinstance(image := part.get("image_url"), dict):
            kind, _, data = str(image.get("url")).removeprefix("data:").partition(";base64,")
            yield {"type": "image", "mimeType": kind, "data": data} if data else {"type": "text", "text": kind}
        elif part is not None:
            yield {"type": "text", "text": orjson.dumps(part).decode()}
