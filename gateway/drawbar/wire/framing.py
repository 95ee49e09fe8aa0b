"""How the events of a stream stand in its bytes: cut out of them, and written into them.

Dialects differ in it as much as in what their events say: server-sent events with a name or without, or the elements of
one JSON array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from drawbar.wire import json_array, sse
from drawbar.wire.tolerant import load


class Splitter(Protocol):
    """Cuts a byte stream into pieces that can be passed on, each with every byte that it came with."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The pieces that are complete now. Raises `BadBody` when one grows past all measure."""

    def rest(self) -> bytes:
        """What came after the last whole piece; taken out."""


class Framing(Protocol):
    """One way of putting events into bytes."""

    @property
    def media_type(self) -> bytes: ...

    @property
    def keepalive(self) -> bytes:
        """Bytes between events that every client skips."""

    def splitter(self) -> Splitter: ...

    def payload(self, piece: bytes) -> bytes | None:
        """What the event in a piece says; None for a piece without one."""

    def ends(self, piece: bytes) -> bool:
        """Whether a piece ends the stream, so that nothing can follow it."""

    def written(self, payloads: Sequence[bytes], *, first: bool, last: bool) -> bytes:
        """Events with these payloads. `first`: no event was written before them; `last`: none follows."""


@dataclass(frozen=True, slots=True)
class Events:
    """Server-sent events."""

    named: bool = False
    """Each has a line with its name, which is the `type` of what it says."""
    keepalive: bytes = sse.KEEPALIVE
    media_type: bytes = b"text/event-stream"

    def splitter(self) -> Splitter:
        return sse.EventSplitter()

    def payload(self, piece: bytes) -> bytes | None:
        return sse.payload(piece)

    def ends(self, piece: bytes) -> bool:
        return False

    def written(self, payloads: Sequence[bytes], *, first: bool, last: bool) -> bytes:
        return b"".join(map(_named if self.named else sse.event, payloads))


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of a JSON array."""

    keepalive: bytes = json_array.KEEPALIVE
    media_type: bytes = json_array.MEDIA_TYPE

    def splitter(self) -> Splitter:
        return json_array.ElementSplitter()

    def payload(self, piece: bytes) -> bytes | None:
        return json_array.payload(piece)

    def ends(self, piece: bytes) -> bool:
        return piece.rstrip().endswith(b"]") and json_array.payload(piece) is None

    def written(self, payloads: Sequence[bytes], *, first: bool, last: bool) -> bytes:
        parts = [json_array.element(data, first=first and not at) for at, data in enumerate(payloads)]
        return b"".join(parts) + (json_array.end(first=first and not parts) if last else b"")


EVENTS: Final[Framing] = Events()
NAMED_EVENTS: Final[Framing] = Events(named=True)
QUIET_EVENTS: Final[Framing] = Events(keepalive=json_array.KEEPALIVE)
"""Kept alive by an empty line: some clients take a comment for an answer."""
ELEMENTS: Final[Framing] = Elements()


def _named(payload: bytes) -> bytes:
    return b"event: " + str(load(payload)["type"]).encode() + b"\n" + sse.event(payload)
