"""What the load generator says, request by request, and what the scripted model answers: bytes, ready to be sent."""

from __future__ import annotations

import random
from typing import Protocol

from dialects import CHAT, SPOKEN, Spoken

_WORDS = random.Random(7)
_VOCABULARY = ["".join(_WORDS.choices("etaoinshrdlu", k=_WORDS.randint(2, 9))) for _ in range(4000)]
REPLY_TEXT = " ".join(_VOCABULARY[:60]).encode()
PACED = b"Answer slowly."
"""A system prompt that the scripted model takes at its word. A field would not do: some proxies set their own."""


def text(seed: int | str, size: int) -> bytes:
    """Words by a seed: compresses as prose does, not as a repeated line."""
    chosen = random.Random(seed).choices(_VOCABULARY, k=size // 4)
    return " ".join(chosen).encode()[:size]


class Conversation(Protocol):
    """One client's requests."""

    def next(self) -> bytes:
        """The next request's body."""


class Small:
    """2 KB each, every one with a user message never seen before."""

    size = 2048

    def __init__(
        self, seed: str, *, spoken: Spoken = CHAT, system: bytes = b"Answer briefly.", stream: bool = False
    ) -> None:
        self._count = 0
        self._seed = seed.encode()
        begin, self._end = spoken.said("user", b"\0").split(b"\0")
        self._head = spoken.opening(system, stream=stream) + begin
        self._words = text(seed, 64 * 1024)

    def next(self) -> bytes:
        self._count += 1
        start = self._count * 37 % 60_000
        opening = b"%s%s %d " % (self._head, self._seed, self._count)
        filling = self._words[start : start + self.size - len(opening) - len(self._end) - 2]
        return b"".join((opening, filling, self._end, b"]}"))


class Long:
    """An append-only conversation of about 200 KB: 60 messages, then 25 turns that each resend all and add a little.

    After 25 turns it goes back to the 60 messages and on from there with other words (a branch), so that the size stays
    what it says and every request still extends what was said before.
    """

    def __init__(
        self, seed: str, *, spoken: Spoken = CHAT, messages: int = 60, size: int = 190_000, turns: int = 25
    ) -> None:
        self._seed = seed
        self._turns = turns
        self._spoken = spoken
        texts = [text(f"{seed}/{n}", size // messages) for n in range(messages)]
        said = (spoken.said("user" if n % 2 else "assistant", words) for n, words in enumerate(texts[1:], start=1))
        self._base = spoken.opening(texts[0]) + b",".join(said)
        self._said = bytearray(self._base)
        self._count = 0

    def next(self) -> bytes:
        turn = self._count % self._turns
        if turn == 0:
            self._said = bytearray(self._base)
        else:
            self._said += b"," + self._spoken.said("assistant", REPLY_TEXT)
        self._said += b"," + self._spoken.said("user", text(f"{self._seed}+{self._count}", 400))
        self._count += 1
        return bytes(self._said) + b"]}"


class Talks:
    """Conversations of some turns, one after another, each with about 1 KB that is new in a turn. `alike`: all of them
    begin with the same words, and differ from the second turn on."""

    def __init__(self, seed: str, *, spoken: Spoken = CHAT, turns: int = 6, size: int = 600, alike: bool) -> None:
        self._seed, self._spoken, self._turns, self._size, self._alike = seed, spoken, turns, size, alike
        self._said = bytearray()
        self._count = 0

    def next(self) -> bytes:
        turn = self._count % self._turns
        if turn == 0:
            self._said = bytearray(self._spoken.opening(text("the system prompt", 1500)))
        else:
            self._said += b"," + self._spoken.said("assistant", REPLY_TEXT) + b","
        same = self._alike and turn == 0
        words = text("Hello", 100) if same else b"%d " % self._count + text(f"{self._seed}/{self._count}", self._size)
        self._said += self._spoken.said("user", words)
        self._count += 1
        return bytes(self._said) + b"]}"


class ToolCalls:
    """MCP `tools/call` of the 2026-07-28 revision, arguments different every time."""

    def __init__(self, seed: str, tool: str) -> None:
        self._seed = seed.encode()
        self._tool = tool.encode()
        self._count = 0

    def next(self) -> bytes:
        self._count += 1
        return (
            b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s","arguments":{"query":"%s %d"},'
            b'"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
            b'"io.modelcontextprotocol/clientInfo":{"name":"benchmark","version":"1"},'
            b'"io.modelcontextprotocol/clientCapabilities":{}}}}'
        ) % (self._count, self._tool, self._seed, self._count)


def conversation(shape: str, seed: str, dialect: str = "chat") -> Conversation:
    """By the name that the load generator was given."""
    spoken = SPOKEN[dialect]
    match shape:
        case "small":
            return Small(seed, spoken=spoken)
        case "long":
            return Long(seed, spoken=spoken)
        case "burst":
            return Small(seed, spoken=spoken, stream=True)
        case "paced":
            return Small(seed, spoken=spoken, system=PACED, stream=True)
        case "talks" | "talks that begin alike":
            return Talks(seed, spoken=spoken, alike=shape != "talks")
        case _ if shape.startswith("tool:"):
            return ToolCalls(seed, shape.removeprefix("tool:"))
    raise ValueError(f"No conversation of the shape {shape!r}.")
