"""Sessions in memory: what both sides of the gateway know of an agent at work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from drawbar.proxy.flight import MOST_KEPT, Flights
from drawbar.record.replies import Replies
from drawbar.record.rows import SessionRow
from drawbar.record.stitching import CallTree, Turn
from drawbar.task import Limits, Task
from drawbar.wire.labels import Labels, merged
from drawbar.wire.tolerant import dump

if TYPE_CHECKING:
    from drawbar.environment import Environment
    from drawbar.record.graph import SessionGraph
    from drawbar.rollout.service.steering import Endpoint
    from drawbar.wire.dialect import Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """What a session is opened with."""

    environment: str | None = None
    task: Task | None = None
    run: str | None = None
    rollout: int = 0
    attempt: int = 0
    harness: str | None = None
    model: str | None = None
    """Where its requests go whatever model they name; None: to the model that each request names."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Set on every request."""
    seed: int | None = None
    limits: Limits = field(default_factory=Limits)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    token_ids: bool = False
    """Token ids and log probabilities are wanted in its record."""
    withhold: frozenset[str] = frozenset()
    """The kinds of tools that its provider may not run (`wire.hosted_tools.HOSTED_TOOLS`)."""
    user_model: str | None = None
    """The model that plays the user of a task that has one, in the place of whoever the environment names."""


@dataclass(slots=True, eq=False)
class Session:
    """One open session. Counters only grow; state changes here contain no `await`."""

    row: SessionRow
    key: str
    environment: Environment | None
    task: Task | None
    limits: Limits
    sampling: Mapping[str, Any]
    graph: SessionGraph
    token_ids: bool = False
    """Token ids and log probabilities are wanted in its record."""
    withhold: frozenset[str] = frozenset()
    """The kinds of tools that its provider may not run."""
    turns: int = 0
    tokens: int = 0
    cost: float = 0.0
    calls: int = 0
    tool_calls: int = 0
    stop: str | None = None
    """A cause once it has ended (or must not go on)."""
    trouble: str | None = None
    """Why its last model call failed; None when it was answered."""
    scope: bytes = b""
    """Of a live session: what tells its client from those with other keys."""
    unwritten: bool = False
    """Its row has changed, and is to be written with its next call's."""
    cue: str = ""
    """What its first reply answers, if it is live and known by what it says."""
    root: bytes | None = None
    """The node of its first message, then."""
    touched: float = field(default_factory=time.time)
    """When its last call began or ended, unix seconds."""
    on_reply: Callable[[Turn[Session], bytes, Dialect, bytes], None] | None = None
    """Told of each reply: whose it is, its node, and its words in its dialect."""
    in_flight: int = 0
    """Model calls under way that may become turns."""
    replies: Replies = field(default_factory=Replies)
    """Its replies by the names that requests may go on from."""
    tree: CallTree[Session] = field(default_factory=CallTree)
    """Its calls; of live sessions that are known by what they say alone, one tree for all of a client."""
    flights: Flights = field(default_factory=lambda: Flights(MOST_KEPT))
    """Calls whose client marks retries, under way or over lately."""
    aborts: set[Callable[[str], None]] = field(default_factory=set)
    """How to stop each call under way; called with a cause."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no call is under way."""
    known: set[str] = field(default_factory=set)
    """The calls that it remembers, by id: its own, and those that another gateway has told the store of."""
    checked: float = field(default_factory=time.monotonic)
    """When the store was last asked whether another gateway has ended it."""
    restored: bool = False
    """Opened by another process, or by this one so long ago that it was forgotten meanwhile."""
    used: float = field(default_factory=time.monotonic)
    """When a request last named it."""
    epoch: int = 0
    """The recorder's epoch that the graph's memory belongs to."""
    endpoint: Endpoint | None = None
    """Where its model calls go and when, if a trainer asked for it (`rollout.service`)."""
    user_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while its simulated user is asked: one message at a time."""

    def __post_init__(self) -> None:
        self.idle.set()

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def live(self) -> bool:
        """Nobody opened it: its requests were taken together here."""
        return self.row.origin != "opened"

    @property
    def line(self) -> str:
        """The first of the sessions that it goes on from, one continuing the other: which model a split has chosen
        for that one, all of them have."""
        return line_of(self.row)

    def continuing(self, row: SessionRow) -> None:
        """Its agent had this session before, and that has ended."""
        config = dump({**orjson.loads(self.row.config), "line": line_of(row)})
        self.row = msgspec.structs.replace(self.row, continues=row.id, config=config)

    def adopt(self, graph: SessionGraph, tree: CallTree[Session], replies: Replies) -> None:
        """Share this memory with others from now on; what this session remembers of itself goes into it."""
        tree.take(self.tree)
        self.graph, self.tree, self.replies = graph, tree, replies

    def join(self, other: Session) -> None:
        """Work in the environment of another session from now on."""
        self.environment = other.environment
        self.row = msgspec.structs.replace(
            self.row, environment=other.row.environment, environment_version=other.row.environment_version
        )

    def belongs_to(self, owner: bytes) -> None:
        """Let its client be known again, by what tells it from those with other keys. Its row is to be
        written."""
        if self.row.owner != owner:
            self.row = msgspec.structs.replace(self.row, owner=owner)
            self.unwritten = True

    def label(self, labels: Labels) -> None:
        """Add to what its client says of it beside its work; what it says of the environment is the session's own."""
        known = orjson.loads(self.row.metadata) if self.row.metadata != b"{}" else {}
        together = merged(known, labels) if isinstance(known, dict) else known
        if together != known:
            self.row = msgspec.structs.replace(self.row, metadata=dump(together))
            self.unwritten = True
        named = labels.get("environment")
        if isinstance(named, str) and self.row.environment is None:
            self.row = msgspec.structs.replace(self.row, environment=named)
            self.unwritten = True

    def name(self, name: bytes) -> None:
        """Let it be found again in the store by this digest."""
        self.row = msgspec.structs.replace(self.row, key_digest=name)
        self.unwritten = True

    def forget_name(self) -> None:
        """Let another reply be the one that it is found by."""
        self.row = msgspec.structs.replace(self.row, key_digest=None)

    def replied(self, turn: Turn[Session], reply: bytes, dialect: Dialect, message: bytes) -> None:
        """A call's reply is there, or as much of it as came."""
        self.tree.replied(turn, reply, dialect, message)
        if self.on_reply is not None:
            self.on_reply(turn, reply, dialect, message)

    def next_call(self) -> int:
        """The position of a model call that starts now."""
        self.calls += 1
        return self.calls - 1

    def next_tool_call(self) -> int:
        """The position of a tool call that starts now."""
        self.tool_calls += 1
        return self.tool_calls - 1

    def exhausted(self, now: float) -> str | None:
        """The limit that forbids another model call at this time, by its cause. Calls under way count as turns."""
        limits = self.limits
        if limits.turns is not None and self.turns + self.in_flight >= limits.turns:
            return "limit_turns"
        if limits.tokens is not None and self.tokens >= limits.tokens:
            return "limit_tokens"
        if limits.cost is not None and self.cost >= limits.cost:
            return "limit_cost"
        if limits.seconds is not None and now - self.row.started >= limits.seconds:
            return "limit_time"
        return None

    def enter(self, abort: Callable[[str], None]) -> None:
        """A model call starts; `abort` stops it."""
        self.in_flight += 1
        self.aborts.add(abort)
        self.idle.clear()

    def leave(self, abort: Callable[[str], None]) -> None:
        """The call that entered with `abort` is over and recorded."""
        self.in_flight -= 1
        self.aborts.discard(abort)
        if not self.aborts:
            self.idle.set()


def line_of(row: SessionRow) -> str:
    """The first of the sessions that this one goes on from; itself, if it continues none."""
    if row.continues is None:
        return row.id
    try:
        config = orjson.loads(row.config)
    except ValueError:  # a redaction hook may have left something else
        return row.id
    return str(config.get("line", row.id)) if isinstance(config, dict) else row.id
