"""A whole answer of the `responses` dialect as the events of the stream as which it would have come.

Reference: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from drawbar.wire.chat_writer import objects, pieces
from drawbar.wire.tolerant import dump

_TEXTS: Final = {
    "output_text": ("response.output_text", "text"),
    "refusal": ("response.refusal", "refusal"),
    "reasoning_text": ("response.reasoning_text", "text"),
}
_FIELDS: Final = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}


def events(answer: Mapping[str, Any]) -> list[bytes]:
    """The payloads, in order."""
    found = beginning(answer)
    for index, item in enumerate(objects(answer.get("output"))):
        found += ({**event, "output_index": index} for event in item_events(item))
    found.append(ending(answer))
    return [dump({**event, "sequence_number": number}) for number, event in enumerate(found)]


def beginning(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events before the first item."""
    begun = {**answer, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    return [{"type": f"response.{kind}", "response": begun} for kind in ("created", "in_progress")]


def ending(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The event after the last item."""
    status = answer.get("status")
    end = status if status in ("incomplete", "failed") else "completed"
    return {"type": f"response.{end}", "response": answer}


def item_events(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One item of an answer: added empty, grown piece by piece, done."""
    kind = str(item.get("type"))
    empty: dict[str, Any] = {key: [] for key in ("content", "summary") if isinstance(item.get(key), list)}
    if kind in _FIELDS:
        empty[_FIELDS[kind][1]] = ""
    under_way = {"status": "in_progress"} if "status" in item else {}
    yield {"type": "response.output_item.added", "item": {**item, **empty, **under_way}}
    about = {"item_id": item.get("id")}
    for name in ("summary", "content"):
        for at, part in enumerate(objects(item.get(name))):
            index = "summary_index" if name == "summary" else "content_index"
            yield from ({**event, **about, index: at} for event in _part(part, name))
    if kind in _FIELDS:
        event, field = _FIELDS[kind]
        yield from ({**it, **about} for it in _grown(event, field, str(item.get(field) or "")))
    yield {"type": "response.output_item.done", "item": item}


def _part(part: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """A part of an item's content or summary."""
    about = "response.reasoning_summary_part" if name == "summary" else "response.content_part"
    event, field = _TEXTS.get(str(part.get("type")), ("", ""))
    if name == "summary":
        event, field = "response.reasoning_summary_text", "text"
    yield {"type": f"{about}.added", "part": {**part, field: ""} if event else part}
    if event:
        yield from _grown(event, field, str(part.get(field) or ""))
    yield {"type": f"{about}.done", "part": part}


def _grown(event: str, field: str, text: str) -> Iterator[dict[str, Any]]:
    extra: dict[str, Any] = {"logprobs": []} if event == "response.output_text" else {}
    for piece in pieces(text):
        yield {"type": f"{event}.delta", "delta": piece, **extra}
    yield {"type": f"{event}.done", field: text, **extra}
