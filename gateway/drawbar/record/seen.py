"""What the model saw of each tool call's result: as a result of its own, or among the words of a later message.

Some agents turn tool calls and their results into plain text before they send them back. What the server said is then
looked for where the conversation went on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from drawbar.record.asked import Asked
from drawbar.record.join import Called
from drawbar.record.shown import WHOLE, compare, is_in
from drawbar.trajectory import Call, Node
from drawbar.wire.message import Media, Text

_NEXT: Final = 3
"""Requests after a tool call in which its result is looked for: in the first ones others may be served."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What others than the model said in a request that no request before it had."""

    call: Call
    texts: Sequence[str]
    media: int
    """Pictures, sounds and files."""


class Later:
    """What came after: which messages each request brought, and where they went on from."""

    def __init__(self, calls: Sequence[Call], nodes: Mapping[bytes, Node]) -> None:
        self.last_request = max((call.started for call in calls), default=0.0)
        self._calls = calls
        self._nodes = nodes
        self._at: dict[bytes | None, list[Brought]] | None = None
        self._all: list[Brought] = []

    def after(self, asked: Asked, ended: float) -> list[Brought]:
        """What the next requests brought that went on from what asked for a tool, after the tool call's end."""
        at = self._read()
        here = (asked.call.reply, asked.call.request)
        found = [each for place in here for each in at.get(place, ()) if each.call.started >= ended]
        found = found or [each for each in self._all if each.call.started >= ended]
        return sorted(found, key=lambda each: each.call.started)[:_NEXT]

    def _read(self) -> Mapping[bytes | None, list[Brought]]:
        if self._at is None:
            self._at = defaultdict(list)
            known: set[bytes] = set()
            for call in self._calls:
                place, brought = self._brought(call, known)
                if brought.texts or brought.media:
                    self._all.append(brought)
                    self._at[place].append(brought)
        return self._at

    def _brought(self, call: Call, known: set[bytes]) -> tuple[bytes | None, Brought]:
        """What a request brought, and the message that it goes on from."""
        texts: list[str] = []
        media, leaf = 0, call.request
        while leaf is not None and leaf not in known and (node := self._nodes.get(leaf)) is not None:
            known.add(leaf)
            if node.message.role != "assistant":
                texts += (block.text for block in reversed(node.message.blocks) if isinstance(block, Text))
                media += sum(isinstance(block, Media) for block in node.message.blocks)
            leaf = node.parent
        if call.reply is not None:
            known.add(call.reply)
        return leaf, Brought(call, texts[::-1], media)


def seen(called: Called, asked: Asked, ended: float | None, later: Later) -> str | None:
    """The verdict; None where it cannot be told: nothing was said, or the model was not asked again."""
    said = called.said
    if said is None or ended is None:
        return None
    shown = asked.result
    verdict = "missing" if shown is None else compare(said, shown)
    is_told = verdict in WHOLE or (verdict == "truncated" and not said.data)
    if is_told or (shown is None and later.last_request <= ended):
        return verdict if is_told else None
    brought = later.after(asked, ended)
    if shown is not None and said.data and any(each.media for each in brought):
        # Some dialects take no pictures in results: they follow in a message of the user.
        return compare(said, replace(shown, media=1))
    in_words = (is_in(said, each.texts) for each in brought)
    return next((found for found in in_words if found is not None), verdict)
