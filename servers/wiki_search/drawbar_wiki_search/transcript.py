"""Reading a conversation back: what a model without an LLM needs to know of the turns so far."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PAGE_ID = re.compile(r"\(page_id: (\S+)\)")
_SECTION_ID = re.compile(r"\(section_id: (\S+), ")


@dataclass(frozen=True, slots=True)
class Used:
    """One tool call of an earlier turn and its result."""

    name: str
    arguments: Mapping[str, Any]
    result: str

    @property
    def page_ids(self) -> list[str]:
        return _PAGE_ID.findall(self.result)

    @property
    def section_ids(self) -> list[str]:
        return _SECTION_ID.findall(self.result)


def used(messages: Sequence[Mapping[str, Any]]) -> list[Used]:
    """The tool calls so far, in order."""
    results = {m["tool_call_id"]: _text(m) for m in messages if m["role"] == "tool"}
    return [
        Used(call["function"]["name"], json.loads(call["function"]["arguments"]), results.get(call["id"], ""))
        for message in messages
        for call in message.get("tool_calls") or ()
    ]


def question(messages: Sequence[Mapping[str, Any]]) -> str:
    """The user's words."""
    return next((_text(m) for m in messages if m["role"] == "user"), "")


def call(turn: int, *calls: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """An assistant message that calls these tools; its ids come from the turn, so that equal runs are equal bytes."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{turn}_{n}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for n, (name, arguments) in enumerate(calls)
        ],
    }


def answer(text: str, sources: Sequence[str]) -> dict[str, Any]:
    """The assistant's last message, in the form that the system prompt asks for."""
    return {"role": "assistant", "content": f"Answer: {text}\nSources: {', '.join(sources) or 'none'}"}


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
