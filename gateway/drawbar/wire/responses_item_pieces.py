"""One item of a streamed response of the `responses` dialect, from the pieces that came of it.

An item is told of when it begins, in growing texts, and once more when it is whole; what came last of these counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in an item a text grows: in a field of it, or in a field of a member of one of its lists."""

    field: str
    list: str | None = None
    type: str | None = None

    def index(self, event: dict[str, Any]) -> int:
        found = event.get("summary_index" if self.list == "summary" else "content_index")
        return found if isinstance(found, int) else 0


_TEXTS: Final = {
    "response.output_text": _Place("text", "content", "output_text"),
    "response.refusal": _Place("refusal", "content", "refusal"),
    "response.reasoning_text": _Place("text", "content", "reasoning_text"),
    "response.reasoning_summary_text": _Place("text", "summary", "summary_text"),
    "response.function_call_arguments": _Place("arguments"),
    "response.mcp_call_arguments": _Place("arguments"),
    "response.custom_tool_call_input": _Place("input"),
    "response.code_interpreter_call_code": _Place("code"),
}
_PARTS: Final = {
    "response.content_part": _Place("text", "content"),
    "response.reasoning_summary_part": _Place("text", "summary"),
}
_ANNOTATION: Final = "response.output_text.annotation"


class ItemPieces:
    """What is known of one item so far."""

    def __init__(self) -> None:
        self.id: str | None = None
        self._item: dict[str, Any] = {}
        self._parts: dict[tuple[str, int], dict[str, Any]] = {}
        self._texts: dict[tuple[str, int], list[str]] = {}
        self._logprobs: dict[tuple[str, int], list[Any]] = {}
        self._is_whole = False

    def feed(self, kind: str, event: dict[str, Any]) -> None:
        """Take an event that tells of this item; one that is not known adds nothing."""
        about, _, moment = kind.rpartition(".")
        if about == "response.output_item":
            self._begin(event.get("item"), is_whole=moment == "done")
        elif about in _TEXTS:
            self._text(about, event, moment)
        elif place := _PARTS.get(about):
            self._part(place, event, moment)
        elif about == _ANNOTATION:
            self._annotation(event)

    def _begin(self, item: Any, *, is_whole: bool) -> None:
        if isinstance(item, dict):
            self._item, self._is_whole = item, is_whole
            self.id = item["id"] if isinstance(item.get("id"), str) else self.id

    def _part(self, about: _Place, event: dict[str, Any], moment: str) -> None:
        part, index = event.get("part"), about.index(event)
        if isinstance(part, dict) and about.list is not None:
            self._parts[about.list, index] = part
            if moment == "done":
                for key in [key for key in self._texts if (_TEXTS[key[0]].list, key[1]) == (about.list, index)]:
                    del self._texts[key]

    def _text(self, about: str, event: dict[str, Any], moment: str) -> None:
        place = _TEXTS[about]
        key = about, place.index(event)
        if moment == "delta" and isinstance(delta := event.get("delta"), str):
            self._texts.setdefault(key, []).append(delta)
            if isinstance(logprobs := event.get("logprobs"), list) and logprobs:
                self._logprobs.setdefault(key, []).extend(logprobs)
        elif moment == "done" and isinstance(said := event.get(place.field), str):
            self._texts[key] = [said]

    def _annotation(self, event: dict[str, Any]) -> None:
        part = self._parts.get(("content", _TEXTS["response.output_text"].index(event)))
        if part is not None and isinstance(known := part.setdefault("annotations", []), list):
            known.append(event.get("annotation"))

    def value(self) -> dict[str, Any]:
        """The item: as it came whole, or as far as it came. Empty when nothing came of it."""
        if not self._is_whole:
            self._fill()
        return self._item

    def _fill(self) -> None:
        parts = {key: dict(part) for key, part in self._parts.items()}
        item = dict(self._item)
        for (about, index), texts in self._texts.items():
            place = _TEXTS[about]
            if place.list is None:
                item[place.field] = "".join(texts)
                continue
            part = parts.setdefault((place.list, index), {"type": place.type})
            part[place.field] = "".join(texts)
            if logprobs := self._logprobs.get((about, index)):
                part["logprobs"] = logprobs
        for name in {name for name, _ in parts}:
            item[name] = [parts[key] for key in sorted(parts) if key[0] == name]
        self._item = item
