"""What the recorder takes: one frozen struct per table, each the whole row.

Calls, tool calls, sessions and runs are written more than once, each time whole: the last write wins. Nodes, blobs and
scores are written once and never change.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """environment x harness x model x rollouts per task."""

    id: str
    environment: str
    environment_version: str
    rubric_version: str
    harness: str
    model: str
    rollouts: int
    """Rollouts per task."""
    config: bytes = b"{}"
    """JSON: everything needed to resume it."""
    status: str = "running"
    """running | finished | interrupted | failed"""
    started: float
    """Unix seconds, as every time here."""
    ended: float | None = None


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One agent at work."""

    id: str
    key_digest: bytes | None = None
    run: str | None = None
    environment: str | None = None
    environment_version: str | None = None
    task_key: str | None = None
    task_hash: str | None = None
    task: bytes | None = None
    """`Task.to_json()`."""
    rollout: int = 0
    """Which of the run's rollouts of this task, from 0."""
    attempt: int = 0
    """Which try at this rollout, from 0; only the last counts."""
    harness: str | None = None
    model: str | None = None
    config: bytes = b"{}"
    """JSON: limits, sampling, seed: what a restarted gateway needs to go on."""
    metadata: bytes = b"{}"
    """JSON, set by the client."""
    status: str = "open"
    """open | ended"""
    stop: str | None = None
    """Why it ended: a name from `drawbar.causes`."""
    error: str | None = None
    started: float
    ended: float | None = None
    origin: str = "opened"
    """How it came about: opened | identity | content. The last two are live sessions: their requests named none, and
    were taken together by the identity that their agent sends, or by what they go on from."""
    continues: str | None = None
    """Of a live session: the one that its agent had before, and that had ended when it came back."""
    owner: bytes | None = None
    """Of a live session: what tells its client from those with other keys."""


class BlobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A content-addressed body."""

    digest: bytes
    body: bytes


class NodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One message, as its dialect said it. `id` is the digest of the parent's id and the canonical content."""

    id: bytes
    parent: bytes | None
    depth: int
    """0 for a root."""
    dialect: str
    body: bytes
    said: bytes | None = None
    """Not stored. Set where the body is a model's own words: their digest, which is `CallRow.reply_body`. If the
    store holds this node with another body (reasoning is outside the canonical content), they are kept as a blob of
    this name."""


class CallRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model exchange."""

    id: str
    session: str
    seq: int
    """Position in its session, from 0, by start."""
    dialect: str
    path: str
    """The path that was asked for, without any key."""
    model: str
    """As the client named it."""
    upstream: str = ""
    """Where it went, and under which model name: `name/model`."""
    request: bytes | None = None
    """Node id of the request's last message."""
    reply: bytes | None = None
    """Node id of the reply."""
    reply_body: bytes | None = None
    """Digest of the reply as it was said. A blob of that name exists only where the node's own body is another one."""
    tools: bytes | None = None
    """Blob digest of the tool schemas."""
    request_envelope: bytes | None = None
    """Blob digest of the request's other fields (or of the whole body when it could not be read)."""
    response_envelope: bytes | None = None
    """Blob digest of the response's other fields (or of the whole body when it could not be read)."""
    streamed: bool = False
    status: str = "started"
    """started | answered | failed | abandoned (the client left) | refused (by us, before any upstream)"""
    http_status: int | None = None
    """What the client was answered."""
    cause: str | None = None
    """Why it is not `answered`: a name from `drawbar.causes`."""
    error: str | None = None
    finish: str | None = None
    attempts: int = 0
    """Requests sent upstream for it, retries and fallbacks included."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float | None = None
    """US dollars; None where the price is not known."""
    started: float
    first_byte: float | None = None
    """When the upstream's first byte came."""
    ended: float | None = None
    follows: str | None = None
    """The id of the call of the same session whose conversation this one goes on from; None: it begins one."""
    edge: str | None = None
    """What of the reply that it follows is said again: exact | without_reasoning | rewritten | none. Set with
    `follows`."""
    thread: str | None = None
    """What its agent calls the thread that asks, where that is not the main one: a sub-agent's id, say."""
    parent_thread: str | None = None
    """The thread that started `thread`, where its agent names it."""
    purpose: str | None = None
    """What the call is for, where its agent says so: main | sub_agent | compaction | side."""


class ToolCallRow(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP `tools/call`."""

    id: str
    session: str
    seq: int
    server: str
    tool: str
    """As the server names it."""
    name: str
    """As the agent saw it."""
    arguments: bytes
    """JSON, as the agent sent it."""
    meta: bytes = b"{}"
    """JSON: the `_meta` that the agent sent."""
    result: bytes | None = None
    """JSON: the result as the server gave it, `_meta` included."""
    shown: bytes | None = None
    """JSON: the result as the agent got it, where that differs."""
    is_error: bool = False
    status: str = "started"
    """started | answered | failed | cancelled"""
    cause: str | None = None
    """Why it is not `answered`: a name from `drawbar.causes`."""
    error: str | None = None
    started: float
    ended: float | None = None


class ScoreRow(msgspec.Struct, frozen=True, kw_only=True):
    """One value that a scorer (or a person) gave a session. Only ever added."""

    id: str
    session: str
    name: str
    kind: str
    """reward | metric | group | feedback"""
    value: float | None
    """None: the scorer gave none; `error` says why."""
    weight: float
    rubric_version: str
    source: str
    """rollout | live | rescore | feedback | import (another program gave it)"""
    explanation: str | None = None
    error: str | None = None
    usage: bytes | None = None
    """JSON: what a judge spent on it (`model`, `prompt_tokens`, `completion_tokens`, `cost`)."""
    created: float
    call: str | None = None
    """The model call that it is about; None: the whole session."""


class HealthRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is not as it should be in the record of a session that has ended."""

    session: str
    findings: bytes
    """JSON, as `drawbar.record.health` writes them; an empty list for a session in good health."""
    created: float


class SummaryRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a session comes to, added up once it has ended, so that nobody who looks for sessions must read its calls.

    A session without one (it is open, or its gateway was killed) is added up when it is looked for.
    """

    session: str
    turns: int
    """Model calls that were answered."""
    calls: int
    failed_calls: int
    """Of `calls`, those that were not answered."""
    tool_calls: int
    tool_errors: int
    """Of `tool_calls`, those that were not answered or whose tool said that it failed."""
    prompt_tokens: int
    """Unknown ones as 0, as of the other kinds."""
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: float | None
    """US dollars; None where no call's price is known."""
    model: str | None
    """As the first call names it."""
    upstreams: str
    """Where its calls went, as `packed` writes it: `name/model` and `name`."""
    health: str
    """good | warning | defect: its gravest finding, notes aside."""
    findings: str
    """The names of its findings, as `packed` writes them."""
    created: float


class AnswerRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider called one of its answers (`chatcmpl-...`, `resp_...`, `msg_...`), so that whoever only knows
    that finds the call. Rollouts have none: whoever runs them knows their sessions."""

    name: str
    call: str
    session: str


class LiveScoringRow(msgspec.Struct, frozen=True, kw_only=True):
    """That a rubric is to look at a session that has ended, and what has become of that.

    It is written with the session's end, so that no crash forgets it.
    """

    session: str
    rubric: str
    """The name of the environment whose rubric it is."""
    state: str = "due"
    """due | done | passed (there was nothing to score; `reason` says why)"""
    reason: str | None = None
    taken: float = 0.0
    """While it is due: until when nobody else begins with it, unix seconds."""
    created: float


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a client's. The key itself is nowhere."""

    id: str
    name: str
    digest: bytes
    allows: bytes
    """JSON: its scope, budgets and rates (`client_keys.Grant`)."""
    created: float
    revoked: float | None = None
    """Since when it is of no use."""


class KeyUseRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a key has used at one gateway (from its start to its end) in one period. Only that gateway writes it."""

    key: str
    """The key's id."""
    period: str
    """A day (`2026-11-22`, UTC), or `minute`."""
    gateway: str
    minute: int
    """The last minute, in minutes of unix time."""
    requests: int
    tokens: int
    cost: float
    """US dollars."""


Row: TypeAlias = (
    RunRow
    | SessionRow
    | BlobRow
    | NodeRow
    | CallRow
    | ToolCallRow
    | ScoreRow
    | HealthRow
    | SummaryRow
    | AnswerRow
    | LiveScoringRow
    | KeyRow
    | KeyUseRow
)
