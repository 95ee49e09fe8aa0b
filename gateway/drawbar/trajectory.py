"""The read-only view of one recorded session: what rewards, reports and exports look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

from drawbar.task import Task
from drawbar.threads import Thread, threads
from drawbar.wire.message import Message
from drawbar.wire.notes import notes_in
from drawbar.wire.token_view import Tokens, read_tokens

Severity: TypeAlias = Literal["note", "warning", "defect"]


@dataclass(frozen=True, slots=True)
class Node:
    """One message in the graph of a session's conversations."""

    id: bytes
    parent: bytes | None
    depth: int
    dialect: str
    body: bytes
    """As the dialect said it (JSON)."""
    message: Message
    """The same in normal form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One model exchange. Times are unix seconds; `None` tokens or cost: not known."""

    id: str
    seq: int
    dialect: str
    model: str
    upstream: str
    request: bytes | None
    reply: bytes | None
    message: Message | None
    """The reply."""
    status: str
    http_status: int | None
    cause: str | None
    error: str | None
    finish: str | None
    streamed: bool
    attempts: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost: float | None
    started: float
    first_byte: float | None
    ended: float | None
    follows: str | None = None
    """The call whose conversation this one goes on from."""
    edge: str | None = None
    """What of that call's reply is said again: exact | without_reasoning | rewritten | none."""
    thread: str | None = None
    """What its agent calls the thread that asked, where that is not the main one."""
    parent_thread: str | None = None
    purpose: str | None = None
    """What the call is for, where its agent says so: main | sub_agent | compaction | side."""
    tools: bytes | None = None
    """The tool schemas that were offered (JSON)."""
    request_envelope: bytes | None = None
    response_envelope: bytes | None = None
    reply_body: bytes | None = None
    """The reply as its dialect said it (JSON)."""

    @property
    def tokens(self) -> Tokens | None:
        """Token ids and log probabilities, as far as the provider told of them; None: it told of none. Read anew each
        time."""
        return read_tokens(self.dialect, self.response_envelope, self.reply_body)

    @property
    def policy_version(self) -> str | None:
        """Which weights answered, as a trainer had told the gateway when it was asked; None: nobody told."""
        version = notes_in(self.request_envelope).get("policy_version")
        return None if version is None else str(version)

    @property
    def withheld(self) -> tuple[str, ...]:
        """The provider's own tools that were taken out of the request, as the request named them."""
        return tuple(map(str, notes_in(self.request_envelope).get("withheld", ())))


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One MCP `tools/call`, with both of its sides."""

    id: str
    seq: int
    server: str
    tool: str
    name: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any] | None
    """As the server gave it."""
    shown: Mapping[str, Any] | None
    """As the gateway handed it to the agent."""
    text: str
    """The words of what was handed to the agent."""
    is_error: bool
    status: str
    error: str | None
    started: float
    ended: float | None
    meta: Mapping[str, Any] = field(default_factory=dict)
    tool_use_id: str | None = None
    """The model's tool call that this answers, if one could be joined."""
    seen: str | None = None
    """What the model was then shown against what the server said: same | wrapped | truncated | altered | invented |
    missing. None: it cannot be told."""
    asked_by: str | None = None
    """The model call whose reply asked for it."""
    joined_by: str | None = None
    """How that was found: id | arguments | likeness (spelling or defaults aside) | order (its arguments are others) |
    words (the reply asked in its text)."""
    cause: str | None = None
    """Why it is not `answered`: a name from `drawbar.causes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One value that a scorer gave; `value` None means no score, and `error` says why."""

    name: str
    kind: str
    value: float | None
    weight: float
    rubric_version: str
    source: str = "rollout"
    explanation: str | None = None
    error: str | None = None
    usage: Mapping[str, Any] | None = None
    created: float = 0.0
    call: str | None = None
    """The id of the model call that it is about; None: the whole session."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be in a session's record."""

    name: str
    detail: str
    severity: Severity = "warning"
    """note | warning | defect: a session with a defect trains nothing unless told otherwise."""
    call: str | None = None
    """The id of the model call that it is about."""
    tool_call: str | None = None
    """The id of the tool call that it is about."""


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One recorded session."""

    id: str
    origin: str = "opened"
    """opened | identity | content: how a live session's requests were taken together."""
    continues: str | None = None
    """Of a live session: the id of the one that its agent had before."""
    run: str | None = None
    environment: str | None = None
    environment_version: str | None = None
    task: Task | None = None
    rollout: int = 0
    attempt: int = 0
    harness: str | None = None
    model: str | None = None
    status: str = "open"
    stop: str | None = None
    error: str | None = None
    started: float = 0.0
    ended: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    calls: Sequence[Call] = ()
    tool_calls: Sequence[ToolCall] = ()
    nodes: Mapping[bytes, Node] = field(default_factory=dict)
    scores: Sequence[Score] = ()
    health: Sequence[Finding] = ()

    def path(self, leaf: bytes | None) -> tuple[Node, ...]:
        """The nodes from a root to this one."""
        found: list[Node] = []
        while leaf is not None and (node := self.nodes.get(leaf)) is not None:
            found.append(node)
            leaf = node.parent
        return tuple(reversed(found))

    @property
    def branches(self) -> Iterator[tuple[Node, ...]]:
        """Every path from a root to a leaf, in the order in which the leaves were made."""
        parents = {node.parent for node in self.nodes.values()}
        return (self.path(node.id) for node in self.nodes.values() if node.id not in parents)

    @cached_property
    def threads(self) -> tuple[Thread, ...]:
        """Its conversations: the main one first, then sub-agents, compactions and side calls as they began."""
        return threads(self.calls, self.nodes)

    @cached_property
    def messages(self) -> tuple[Message, ...]:
        """The main conversation in normal form: the path to its last answer (or, without one, to its last request)."""
        calls = self.threads[0].calls if self.calls else ()
        for call in reversed(calls):
            if call.reply is not None:
                said = [node.message for node in self.path(call.reply)]
                return (*said[:-1], call.message) if call.message is not None else tuple(said)
        return tuple(node.message for node in self.path(calls[-1].request)) if calls else ()

    @property
    def completion(self) -> str:
        """The words of the last answer; empty if there is none."""
        last = self.messages[-1] if self.messages else None
        return last.text.strip() if last is not None and last.role == "assistant" else ""

    @property
    def turns(self) -> int:
        """Model exchanges that were answered."""
        return sum(call.status == "answered" for call in self.calls)

    def tokens(self, kind: str) -> int:
        """Sum of `prompt`, `completion`, `cached` or `reasoning` tokens over all calls, unknown ones as 0."""
        return sum(getattr(call, f"{kind}_tokens") or 0 for call in self.calls)

    @property
    def cost(self) -> float | None:
        """US dollars; None when no call's price is known."""
        known = [call.cost for call in self.calls if call.cost is not None]
        return sum(known) if known else None

    @property
    def newest_scores(self) -> list[Score]:
        """The last score of each name, of the newest rubric version; people's feedback is not the rubric's."""
        own = sorted((score for score in self.scores if score.kind != "feedback"), key=lambda score: score.created)
        return list({score.name: score for score in own if score.rubric_version == own[-1].rubric_version}.values())

    @property
    def reward(self) -> float | None:
        """Weighted sum of the newest scores; None when there is none, or a weighted one has no value."""
        weighted = [score for score in self.newest_scores if score.weight]
        total = 0.0
        for score in weighted:
            if score.value is None:
                return None
            total += score.weight * score.value
        return total if weighted else None
