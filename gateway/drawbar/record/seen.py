"""What the model saw of each tool call's result: as a result of its own, or among the words of a later message.

Some agents turn tool calls and their results into plain text before they send them back. What the server said is then
looked for where the conversation went on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from drawbar.record.asked import Asked
from drawbar.record.join import Called
from drawbar.record.shown import WHOLE, compare, is_in
from drawbar.trajectory import Call, Node
from drawbar.wire.message import Text

_NEXT: Final = 3
"""Requests after a tool call in which its result is looked for: in the first ones others may be served."""


class Later:
    """What came after: which messages each request brought, and where they went on from."""

    def __init__(self, calls: Sequence[Call], nodes: Mapping[bytes, Node]) -> None:
        self.last_request = max((call.started for call in calls), default=0.0)
        self._calls = calls
        self._nodes = nodes
        self._at: dict[bytes | None, list[tuple[Call, list[str]]]] | None = None
        self._all: list[tuple[Call, list[str]]] = []

    def after(self, asked: Asked, ended: float) -> list[list[str]]:
        """The words that others than the model said in the next requests that went on from what asked for a tool."""
        at = self._read()
        here = (asked.call.reply, asked.call.request)
        found = [(call, texts) for place in here for call, texts in at.get(place, ()) if call.started >= ended]
        if not found:
            found = [(call, texts) for call, texts in self._all if call.started >= ended]
        found.sort(key=lambda each: each[0].started)
        return [texts for _, texts in found[:_NEXT]]

    def _read(self) -> Mapping[bytes | None, list[tuple[Call, list[str]]]]:
        if self._at is not None:
            return self._at
        at: dict[bytes | None, list[tuple[Call, list[str]]]] = defaultdict(list)
        known: set[bytes] = set()
        for call in self._calls:
            texts: list[str] = []
            leaf = call.request
            while leaf is not None and leaf not in known and (node := self._nodes.get(leaf)) is not None:
                known.add(leaf)
                if node.message.role != "assistant":
                    texts += (block.text for block in reversed(node.message.blocks) if isinstance(block, Text))
                leaf = node.parent
            if call.reply is not None:
                known.add(call.reply)
            if texts:
                self._all.append((call, texts[::-1]))
                at[leaf].append(self._all[-1])
        self._at = at
        return at


def seen(called: Called, asked: Asked, ended: float | None, later: Later) -> str | None:
    """The verdict; None where it cannot be told: nothing was said, or the model was not asked again."""
    said = called.said
    if said is None or ended is None:
        return None
    verdict = "missing" if asked.result is None else compare(said, asked.result)
    if verdict in WHOLE or verdict == "truncated":
        return verdict
    if later.last_request <= ended and asked.result is None:
        return None
    in_words = (is_in(said, texts) for texts in later.after(asked, ended))
    return next((found for found in in_words if found is not None), verdict)
