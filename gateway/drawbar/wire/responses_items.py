"""Items of the `responses` dialect: which of them are the model's, and which together are one turn of it.

A history is a flat list in which one reply is several items: reasoning, words, calls. They stand beside each other, so
what the model said in one go is what stands between two items of others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from drawbar.wire.dialect import BadBody

_OF_CLIENTS: Final = frozenset({"mcp_approval_response", "compaction_trigger"})
"""Beside messages and outputs of tools. A type that nobody knows counts as the model's: most new ones are."""


class _Item(msgspec.Struct):
    """What of an item says whose it is; nothing else of it is read."""

    type: Any = None
    role: Any = None
    execution: Any = None
    call_id: Any = None
    environment: Any = None


_ITEM: Final = msgspec.json.Decoder(_Item)
_SAYS_FIRST: Final = re.compile(
    rb'\s*\{\s*(?:"type"\s*:\s*"(message|function_call_output|reasoning)"\s*,\s*)?(?:"role"\s*:\s*"(\w+)")?'
)
"""What most items say first: enough to tell whose they are, without a look at the rest of a long text."""


def of_model(kind: Any, role: Any = None, execution: Any = None) -> bool:
    """Whether an item of this type and role is the model's, or its provider's on its behalf."""
    if role is not None:
        return bool(role == "assistant")
    if not isinstance(kind, str):
        return True  # a reference needs no type
    if kind.endswith("_output"):
        return kind == "program_output" or (kind == "tool_search_output" and execution == "server")
    return kind not in _OF_CLIENTS


def turns(items: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """One slice per item, but one list of items per turn of the model; and reasoning at the end that nothing follows.

    That rest is what some agents keep of a reply that was cut: the next reply goes on from it, as one turn.

    Raises:
        BadBody: an item is no object.
    """
    found: list[bytes] = []
    turn: list[bytes] = []
    hosted: set[str] = set()
    only_reasoning = True
    for position, raw in enumerate(items):
        item = _read(raw, position)
        if not (of_model(item.type, item.role, item.execution) or _ran_there(item, hosted)):
            _close(turn, found)
            found.append(raw)
            only_reasoning = True
            continue
        turn.append(raw)
        only_reasoning = only_reasoning and item.type == "reasoning"
        if isinstance(item.call_id, str) and _is_container(item.environment):
            hosted.add(item.call_id)
    if not only_reasoning:
        _close(turn, found)
    return found, turn


def _close(turn: list[bytes], found: list[bytes]) -> None:
    if turn:
        found.append(b"[" + b",".join(turn) + b"]")
        turn.clear()


def _read(raw: bytes, position: int) -> _Item:
    first = _SAYS_FIRST.match(raw)
    if first is not None and (first[2] is not None or first[1] in (b"function_call_output", b"reasoning")):
        return _that_says(first[1], first[2])
    try:
        return _ITEM.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"`input[{position}]` must be a JSON object: {error}") from error


@lru_cache(maxsize=64)
def _that_says(kind: bytes | None, role: bytes | None) -> _Item:
    return _Item(*(None if said is None else said.decode() for said in (kind, role)))


def _ran_there(item: _Item, hosted: set[str]) -> bool:
    """Whether it is the output of a shell that the provider runs: it comes within the model's turn."""
    return item.type == "shell_call_output" and isinstance(item.call_id, str) and item.call_id in hosted


def _is_container(environment: Any) -> bool:
    return isinstance(environment, dict) and environment.get("type") == "container_reference"
