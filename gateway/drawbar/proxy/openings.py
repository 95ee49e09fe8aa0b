"""What finds a live session in the store: what its agent calls it, or how its conversation began. Pure."""

from __future__ import annotations

from drawbar.ids import digest
from drawbar.wire.dialect import BadBody, Dialect
from drawbar.wire.message import Message, Text, ToolResult


def normal(dialect: Dialect, message: bytes) -> Message:
    try:
        return dialect.normal(message)
    except BadBody:
        return Message("user", ())


def by_name(scope: bytes, agent: str, session: str) -> bytes:
    """What finds a session in the store whose agent names it."""
    return digest(b"identity", scope, agent.encode(), b"\0", session.encode())


def by_first_words(scope: bytes, cue: str, dialect: Dialect, reply: bytes) -> bytes:
    """What finds a session in the store by its first reply, and by what that answered."""
    return digest(b"content", scope, cue.encode(errors="surrogatepass"), b"\0", dialect.canonical(reply))


def cue_of(message: Message) -> str:
    """The last that a message says. What its agent puts before it (where and when it is) may be others in a resume."""
    said = [block.text for block in message.blocks if isinstance(block, Text | ToolResult)]
    return said[-1].strip() if said else ""
