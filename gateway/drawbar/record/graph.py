"""What one session has said, as a graph of messages named by digest. Pure: rows out, no I/O.

An agent resends its whole conversation with every request. A message that comes again as the same bytes after the
same parent is recognised by those bytes' hash: it is not parsed, not made canonical, not stored again. Only a message
that is new as bytes is asked its canonical content, which with its parent's id gives its node's id.

A graph remembers what it handed out for storing and never hands it out twice. Forgetting is always right: the store
keeps one of each, so it costs writes and nothing else. After a failed write, call `drop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from drawbar.ids import digest
from drawbar.record.rows import BlobRow, NodeRow
from drawbar.wire.dialect import Dialect

_Seen = tuple[bytes | None, int, int]

MOST_REMEMBERED: Final = 20_000
"""Entries of each memory (about 5 MB in all) after which a graph forgets and starts anew."""


class SessionGraph:
    """One session's messages and bodies. Not to be shared between threads."""

    __slots__ = ("_blobs", "_depths", "_handed_out", "_most", "_seen")

    def __init__(self, most: int | None = None) -> None:
        """`most`: entries of each memory; MOST_REMEMBERED of them, if it is not given."""
        self._most = most
        self._seen: dict[_Seen, bytes] = {}
        self._handed_out: set[bytes] = set()
        self._blobs: set[bytes] = set()
        self._depths: dict[bytes, int] = {}

    def request(
        self, dialect: Dialect, messages: Sequence[bytes], after: tuple[bytes, int] | None = None
    ) -> tuple[list[bytes], list[NodeRow]]:
        """The nodes of a request's messages, in their order, and those of them that are to be stored.

        `after`: the node that the messages follow, and its depth, which then comes first; None: they are the
        conversation from its root.

        Raises:
            BadBody: a message cannot be read; nothing is remembered of the request then.
        """
        self._make_room()
        seen = self._seen
        parent: bytes | None = None
        path: list[bytes] = []
        if after is not None:
            parent, self._depths[after[0]] = after
            path.append(parent)
        for position, raw in enumerate(messages):
            # The interpreter's keyed 64-bit hash: twice as fast as any digest, and two messages can only be taken for
            # each other if they follow the same parent in the same session.
            known = seen.get((parent, len(raw), hash(raw)))
            if known is None:
                return path, self._extend(dialect, path, messages[position:])
            path.append(known)
            parent = known
        return path, []

    def _extend(self, dialect: Dialect, path: list[bytes], messages: Sequence[bytes]) -> list[NodeRow]:
        """Go on along the path with messages of which at least the first is new as bytes."""
        parent = path[-1] if path else None
        new: list[NodeRow] = []
        learned: dict[_Seen, bytes] = {}
        depth = self.depth(parent)
        for raw in messages:
            depth += 1
            key = (parent, len(raw), hash(raw))
            id = self._seen.get(key)
            if id is None:
                id = digest(parent or b"", dialect.canonical(raw))
                learned[key] = id
                if id not in self._handed_out:
                    new.append(NodeRow(id=id, parent=parent, depth=depth, dialect=dialect.name, body=raw))
            path.append(id)
            parent = id
        self._seen.update(learned)
        self._handed_out.update(row.id for row in new)
        self._depths.update((row.id, row.depth) for row in new)
        return new

    def reply(self, dialect: Dialect, parent: bytes | None, message: bytes) -> tuple[bytes, list[NodeRow], bytes]:
        """A reply's node, the rows to store, and the digest of its body for `CallRow.reply_body`.

        Two replies of one node can differ outside the canonical content, in their reasoning above all, and no session
        knows which of them another one stored first. So a reply is always handed out, marked as one: the store
        compares, and keeps its body apart when the node holds another.

        Raises:
            BadBody: the message cannot be read.
        """
        id = digest(parent or b"", dialect.canonical(message))
        self._seen[(parent, len(message), hash(message))] = id
        self._handed_out.add(id)
        self._depths[id] = depth = self.depth(parent) + 1
        said = digest(message)
        return id, [NodeRow(id=id, parent=parent, depth=depth, dialect=dialect.name, body=message, said=said)], said

    def blob(self, body: bytes) -> tuple[bytes, list[BlobRow]]:
        """The body's digest, and the row to store unless this graph handed it out before."""
        name = digest(body)
        if name in self._blobs:
            return name, []
        if len(self._blobs) >= (self._most or MOST_REMEMBERED):
            self._blobs.clear()
        self._blobs.add(name)
        return name, [BlobRow(digest=name, body=body)]

    def drop(self) -> None:
        """Forget what was handed out: it may not have been stored."""
        self._seen.clear()
        self._handed_out.clear()
        self._blobs.clear()

    @property
    def remembered(self) -> int:
        """Entries in memory."""
        return len(self._seen) + len(self._handed_out) + len(self._blobs) + len(self._depths)

    def depth(self, node: bytes | None) -> int:
        """How deep a node lies that was just handed out; -1 for what a root follows."""
        return -1 if node is None else self._depths[node]

    def _make_room(self) -> None:
        most = self._most or MOST_REMEMBERED
        if len(self._seen) >= most:
            self._seen.clear()
            self._handed_out.clear()
        if len(self._depths) >= 2 * most:
            # The older half: a request under way still needs its own leaf's.
            self._depths = dict(islice(self._depths.items(), most, None))
