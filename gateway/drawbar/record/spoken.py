"""Tool calls that a model asked for in its words: as code that calls tools, or in a format that its harness reads.

Such a reply holds no tool use. A call is taken for what a reply says that names the tool and all of the arguments.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from drawbar.record.asked import Asked
from drawbar.record.join import Called, Joined
from drawbar.record.skeleton import skeleton
from drawbar.trajectory import Call
from drawbar.wire.message import ToolUse

_NEWEST: Final = 4
"""Replies before a call in which it is looked for: parallel agents speak in turn."""


def spoken(calls: Sequence[Call], called: Iterable[Called]) -> dict[str, Joined]:
    """The replies that asked for these calls in words, by the calls' ids."""
    replies = sorted((c for c in calls if c.message is not None and c.message.text), key=_since)
    starts = [_since(call) for call in replies]
    found: dict[str, Joined] = {}
    texts: dict[str, str] = {}
    for call in called:
        now = bisect_left(starts, call.started)
        for reply in reversed(replies[max(0, now - _NEWEST) : now]):
            assert reply.message is not None
            text = texts.setdefault(reply.id, skeleton(reply.message.text))
            if _names(call.name, reply.message.text) and all(value in text for value in _values(call.arguments)):
                use = ToolUse("", call.name, call.arguments, "")
                found[call.id] = Joined(Asked(use, reply, b"", 0), "words")
                break
    return found


def _since(call: Call) -> float:
    return call.started if call.first_byte is None else call.first_byte


def _names(tool: str, text: str) -> bool:
    return bool(tool) and re.search(rf"(?<![^\W_]){re.escape(tool)}(?![^\W_])", text) is not None


def _values(arguments: Any) -> Iterator[str]:
    """The skeletons of the texts and numbers in a call's arguments."""
    if isinstance(arguments, dict | list):
        for value in arguments.values() if isinstance(arguments, dict) else arguments:
            yield from _values(value)
    elif isinstance(arguments, str):
        yield skeleton(arguments)
    elif isinstance(arguments, int | float) and not isinstance(arguments, bool):
        yield f"{arguments:g}" if isinstance(arguments, float) else str(arguments)
