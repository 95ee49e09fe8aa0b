"""One request's messages as nodes: on the path from its root, or on the path from the reply that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drawbar.ids import digest
from drawbar.record.graph import SessionGraph
from drawbar.record.replies import Replies, Reply
from drawbar.record.rows import NodeRow
from drawbar.wire.dialect import Dialect, Request


@dataclass(frozen=True, slots=True)
class Placed:
    """A request in the graph."""

    path: Sequence[bytes]
    """The nodes of its messages; before them, that of the reply which it goes on from by name."""
    messages: Sequence[bytes]
    """Those that the path ends with."""
    rows: Sequence[NodeRow]
    """What is to be stored; nobody will hand it out again."""
    known: Reply | None
    """The reply that it goes on from by name."""

    @property
    def leaf(self) -> bytes | None:
        return self.path[-1] if self.path else None


def placed(dialect: Dialect, request: Request, graph: SessionGraph, replies: Replies) -> Placed:
    """Place a request. Raises `BadBody` when a message cannot be read; nothing is remembered of the request then."""
    known = replies.find(request.previous)
    messages, after = request.messages, None
    if known is not None:
        after = known.node, known.depth
        if known.instructions in (None, instructions(request)):
            messages = messages[request.standing :]
    path, rows = graph.request(dialect, messages, after)
    return Placed(path, messages, rows, known)


def instructions(request: Request) -> bytes:
    """The digest of what a request says anew whatever it goes on from."""
    return digest(b"".join(request.messages[: request.standing]))
