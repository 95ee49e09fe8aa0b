"""What a watcher tells: the lines of `drawbar watch --json` and of `GET /api/watch`, one JSON object each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec


class _Change(msgspec.Struct, frozen=True, tag_field="event"):
    pass


class Begun(_Change, frozen=True, kw_only=True, tag="begun"):
    """All that was told before is void: everything that is there follows."""

    store: str
    where: str
    """The filter."""


class Watched(_Change, frozen=True, kw_only=True, tag="session"):
    """A session as it is now; told again, whole, whenever anything of it has changed."""

    id: str
    run: str | None
    environment: str | None
    task: str | None
    agent: str | None
    model: str | None
    origin: str
    """opened | identity | content"""
    user: str | None
    release: str | None
    tags: list[str]
    status: str
    """open | ended"""
    stop: str | None
    """Why it ended: a cause."""
    started: float
    """Unix seconds, as every time here."""
    ended: float | None
    heard: float | None
    """When its last call began or ended, of a model or a tool."""
    doing: str | None
    """What it waits for: `model`, or `tool NAME`; None: its agent works, or is idle."""
    turns: int
    """Model calls that were answered."""
    calls: int
    failed_calls: int
    tool_calls: int
    tool_errors: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    """US dollars; None where no price is known."""
    reward: float | None
    rubric: str | None
    """The version of the rubric that gave the scores."""
    scores: dict[str, float | None]
    """The newest score of each name."""
    feedback: dict[str, float | None]
    """What people gave last; a correction has no value."""
    health: str
    """good | warning | defect | unknown"""
    findings: list[str]

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens."""
        return self.prompt_tokens + self.completion_tokens


class Gone(_Change, frozen=True, kw_only=True, tag="gone"):
    """A session is no longer watched: others ended after it, or the filter does not mean it any more."""

    id: str


class Rewarded(msgspec.Struct, frozen=True, kw_only=True):
    """The rewards that one version of a rubric gave to the sessions that ended last."""

    rubric: str
    sessions: int
    mean: float
    low: float | None
    """The 95 % interval; None for a single session."""
    high: float | None


class RecorderState(msgspec.Struct, frozen=True, kw_only=True):
    """How the recorder of a gateway does; a store alone cannot tell."""

    lag: float
    """Seconds until what is handed in is durable."""
    waiting: int
    """Rows."""
    failing: bool


class Pulse(_Change, frozen=True, kw_only=True, tag="pulse"):
    """How all that is watched does; it ends each look."""

    time: float
    open: int
    """Sessions."""
    under_way: int
    """Model calls."""
    per_second: float | None
    """Model calls that ended; None until there is something to go by."""
    error_rate: float | None
    """Of these, the share that was not answered; None: there were none."""
    window: float
    """Seconds that the last two are of."""
    rewards: list[Rewarded]
    """By rubric, the one that scored most first. Those of different versions are never in one mean."""
    recorder: RecorderState | None = None


class Trouble(_Change, frozen=True, kw_only=True, tag="trouble"):
    """Nothing could be seen this time; it is tried again."""

    message: str


Change: TypeAlias = Begun | Watched | Gone | Pulse | Trouble

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Change] = msgspec.json.Decoder(Change)


def to_lines(changes: Sequence[Change]) -> bytes:
    """One line of JSON for each."""
    return b"".join(_ENCODER.encode(change) + b"\n" for change in changes)


def from_line(line: bytes) -> Change:
    """What a line says. Raises `msgspec.DecodeError` or `msgspec.ValidationError`."""
    return _DECODER.decode(line)
