"""Streams of the `responses` dialect, written while the reply comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drawbar.wire.chat_writer import objects
from drawbar.wire.message import Text
from drawbar.wire.responses_events import beginning, ending, item_events
from drawbar.wire.responses_translator import item
from drawbar.wire.speech import Spoken
from drawbar.wire.tolerant import dump


class ResponsesSpeech:
    """One stream: items are added and done one after another, and every event has a number."""

    def __init__(self, opening: Mapping[str, Any]) -> None:
        """`opening`: the answer as it would be if nothing were said."""
        self._opening = opening
        self._id = str(opening.get("id")).partition("_")[2]
        self._number = 0
        self._index = -1
        self._kind: Spoken | None = None
        self._words: list[str] = []

    def begun(self) -> list[bytes]:
        return self._numbered(beginning(self._opening))

    def more(self, kind: Spoken, piece: str) -> list[bytes]:
        found: list[dict[str, Any]] = []
        if kind is not self._kind:
            found += self._closed()
            self._index, self._kind = self._index + 1, kind
            self._words.clear()
            found += _before(self._events(""))
        self._words.append(piece)
        found += (event for event in self._events(piece) if event["type"].endswith(".delta"))
        return self._numbered(found)

    def ended(self, answer: Mapping[str, Any]) -> list[bytes]:
        found = self._closed()
        for index, rest in enumerate(objects(answer.get("output"))[self._index + 1 :], self._index + 1):
            found += ({**event, "output_index": index} for event in item_events(rest))
        return self._numbered([*found, ending(answer)])

    def _closed(self) -> list[dict[str, Any]]:
        """What follows the last piece of the open item."""
        if self._kind is None:
            return []
        events = self._events("".join(self._words))
        opened = len(_before(events))
        return [event for event in events[opened:] if not event["type"].endswith(".delta")]

    def _events(self, words: str) -> list[dict[str, Any]]:
        """Those of the open item, if these were its words."""
        events = item_events(item(self._kind or Text, words, self._id, self._index))
        return [{**event, "output_index": self._index} for event in events]

    def _numbered(self, events: list[dict[str, Any]]) -> list[bytes]:
        found = [dump({**event, "sequence_number": self._number + at}) for at, event in enumerate(events)]
        self._number += len(found)
        return found


def _before(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events before an item's words."""
    return [event for event in events if event["type"].endswith(".added")]
