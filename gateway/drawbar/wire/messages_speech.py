"""Streams of the `messages` dialect, written while the reply comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drawbar.wire.chat_writer import objects
from drawbar.wire.message import Reasoning
from drawbar.wire.messages_translator import block, block_events
from drawbar.wire.speech import Spoken
from drawbar.wire.tolerant import dump


class MessagesSpeech:
    """One stream: blocks open and close one after another."""

    def __init__(self, opening: Mapping[str, Any]) -> None:
        """`opening`: the answer as it would be if nothing were said."""
        self._opening = opening
        self._index = -1
        self._kind: Spoken | None = None

    def begun(self) -> list[bytes]:
        return [dump({"type": "message_start", "message": {**self._opening, "content": [], "stop_reason": None}})]

    def more(self, kind: Spoken, piece: str) -> list[bytes]:
        found: list[dict[str, Any]] = []
        if kind is not self._kind:
            found += self._closed()
            self._index, self._kind = self._index + 1, kind
            found.append(self._events(kind)[0])
        name = "thinking" if kind is Reasoning else "text"
        delta = {"type": f"{name}_delta", name: piece}
        found.append({"type": "content_block_delta", "index": self._index, "delta": delta})
        return [dump(event) for event in found]

    def ended(self, answer: Mapping[str, Any]) -> list[bytes]:
        found = self._closed()
        for index, rest in enumerate(objects(answer.get("content"))[self._index + 1 :], self._index + 1):
            found += ({"index": index, **event} for event in block_events(rest))
        end = {"stop_reason": answer.get("stop_reason"), "stop_sequence": answer.get("stop_sequence")}
        found += [{"type": "message_delta", "delta": end, "usage": answer.get("usage")}, {"type": "message_stop"}]
        return [dump(event) for event in found]

    def _closed(self) -> list[dict[str, Any]]:
        """What follows the last piece of the open block."""
        return [] if self._kind is None else self._events(self._kind)[1:]

    def _events(self, kind: Spoken) -> list[dict[str, Any]]:
        """The events of a block without words: they stand around those of its pieces."""
        empty = block(kind(""))
        assert empty is not None
        return [{"index": self._index, **event} for event in block_events(empty)]
