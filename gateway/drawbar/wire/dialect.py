"""The seam between the gateway and the wire formats that agents speak. Pure: bytes and values in, bytes and values out.

A dialect is one file beside this one and one row in `wire.DIALECTS`. Nothing outside this folder knows a dialect's
fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from drawbar.wire.message import Message


class BadBody(ValueError):
    """A request or response that its dialect cannot read; the message says what and where."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one exchange cost in tokens, as the provider counted it. `None`: it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float | None = None
    """US dollars, where the provider itself names them."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, split without building objects for what it carries."""

    model: str
    stream: bool
    messages: Sequence[bytes]
    """One slice of the body per message, in conversation order, each a JSON text."""
    tools: bytes | None
    """The tool schemas, one JSON text."""
    envelope: bytes
    """Every other field, as one JSON object."""
    previous: str | None = None
    """The name of what the provider keeps of this conversation: `messages` go on from the reply that has it."""
    standing: int = 0
    """How many of the first messages are said anew with each request, whatever it goes on from: instructions."""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response, whether it came whole or was assembled from a stream."""

    message: bytes | None
    """The reply as the dialect would carry it in the next request's history; `None` when there is none."""
    finish: str | None
    """Why the model stopped, in the dialect's own word."""
    usage: Usage
    envelope: bytes
    """Every other field (id, model, logprobs, token ids, provider's own), one JSON object."""
    names: tuple[str, ...] = ()
    """What a later `Request.previous` may call the conversation up to and with this reply: the answer's id, say."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """Request fields that the gateway sets on behalf of a session, in dialect-neutral names."""

    model: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    stream_usage: bool = False
    """Ask for token counts at the end of a stream, where the client did not."""


class Assembler(Protocol):
    """Puts a response together again from the events of a stream."""

    def feed(self, data: bytes) -> bool:
        """Take the payload of one event (what follows `data: `); True when it carries token counts and nothing else."""

    @property
    def ended(self) -> bool:
        """Whether the event that ends the turn was seen: from it on, events are held back until the turn is durable."""

    @property
    def done(self) -> bool:
        """Whether the event after which nothing comes was seen."""

    @property
    def error(self) -> str | None:
        """What the provider said went wrong in the middle of the stream, or what of it cannot be read."""

    def response(self) -> Response:
        """What was seen so far, as one response: complete if `ended`."""


class Dialect(Protocol):
    """One wire format."""

    @property
    def name(self) -> str: ...

    def split(self, body: bytes) -> Request:
        """Raises `BadBody`."""

    def canonical(self, message: bytes) -> bytes:
        """The bytes that identify a message: equal for what means the same, reasoning outside. Raises `BadBody`."""

    def normal(self, message: bytes) -> Message:
        """A message slice in normal form. Raises `BadBody`."""

    def changes(self, request: Request, overrides: Overrides) -> dict[str, Any]:
        """The top-level fields that `overrides` change in this request, in the dialect's names: what `patch` takes."""

    def patch(self, body: bytes, changes: Mapping[str, Any]) -> bytes:
        """The body with these top-level fields set (or, where the value is None, removed); every other byte stays."""

    def response(self, body: bytes) -> Response:
        """Raises `BadBody`."""

    def names(self, envelope: bytes) -> tuple[str, ...]:
        """`Response.names`, from an envelope that was kept."""

    def assembler(self) -> Assembler: ...

    def error(self, status: int, message: str, code: str) -> bytes:
        """A native error body, one that the dialect's SDKs raise with this message."""

    def stream_error(self, status: int, message: str, code: str) -> list[bytes]:
        """The same as the payloads of the events that end a stream which has begun."""

    def error_message(self, body: bytes) -> str:
        """What a provider's error body says, in one line; of a body that cannot be read, its beginning."""
