"""Streams of the `responses` dialect: events put together again into the response that they tell of.

The event that ends a stream holds the whole response. Pieces are collected all the same: a stream may be cut before,
and some providers leave the items out of that last event.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from drawbar.wire.dialect import BadBody, Response, Usage
from drawbar.wire.fields import fields
from drawbar.wire.responses_answer import answer
from drawbar.wire.responses_item_pieces import ItemPieces
from drawbar.wire.tolerant import dump, load_message, load_object

_ENDS: Final = {
    "response.completed": "completed", "response.incomplete": "incomplete", "response.failed": "failed",
}  # fmt: skip
"""The events that end a turn, and the status that each stands for."""
_NO_END: Final = frozenset({b"null", b'"queued"', b'"in_progress"'})
_BEGINS: Final = frozenset({"response.created", "response.in_progress", "response.queued"})


class ResponsesAssembler:
    """Puts a response together from the events of its stream."""

    def __init__(self) -> None:
        self._began: bytes | None = None
        self._end: bytes | None = None
        self._status: str | None = None
        self._items: dict[int, ItemPieces] = {}
        self._error: str | None = None
        self._answer: Response | None = None
        self._done = False

    def feed(self, data: bytes) -> bool:
        if data.strip() == b"[DONE]":
            self._done = True
            return False
        try:
            event = load_message(data)
        except BadBody as error:
            self._error = f"an event of the stream cannot be read: {error}"
            return False
        if isinstance(event, dict):
            self._take(event, data)
        return False

    def _take(self, event: dict[str, Any], data: bytes) -> None:
        kind = event.get("type")
        kind = kind if isinstance(kind, str) else ""
        if kind in _ENDS:
            self._status, self._end, self._done = _ENDS[kind], data, True
            self._close()
            if kind == "response.failed":
                self._error = _said(event.get("response")) or "the provider says that the response failed"
        elif kind in _BEGINS:
            self._began = data
        elif kind == "error" or event.get("error") is not None:
            self._error = _said(event) or dump(event).decode("utf-8", "replace")
        else:
            self._piece(kind, event)

    def _piece(self, kind: str, event: dict[str, Any]) -> None:
        index = event.get("output_index")
        if not isinstance(index, int):
            index = self._place(event, new=kind == "response.output_item.added")
        item = self._items.get(index)
        if item is None:
            item = self._items[index] = ItemPieces()
        item.feed(kind, event)

    def _place(self, event: dict[str, Any], *, new: bool) -> int:
        """Of an item without an index: by its id, else the last, unless it is new."""
        found = event.get("item")
        id = event.get("item_id", found.get("id") if isinstance(found, dict) else None)
        known = [index for index, item in self._items.items() if id is not None and item.id == id]
        last = max(self._items, default=-1)
        return known[-1] if known else last + 1 if new else max(last, 0)

    @property
    def ended(self) -> bool:
        return self._end is not None

    @property
    def done(self) -> bool:
        return self._done

    @property
    def error(self) -> str | None:
        return self._error

    def response(self) -> Response:
        if self._answer is not None:
            return self._answer
        try:
            return self._assembled()
        except BadBody:
            return Response(message=None, finish=None, usage=Usage(), envelope=b"{}")

    def _close(self) -> None:
        """Read the answer at once: one that cannot be read is an error of the stream."""
        try:
            self._answer = self._assembled()
        except BadBody as error:
            self._error = f"the answer cannot be read: {error}"

    def _assembled(self) -> Response:
        values = _response(self._end)
        if bytes(values.get("output", b"null")) in (b"[]", b"null"):
            values = {**_response(self._began), **values}
            items = [item.value() for _, item in sorted(self._items.items())]
            values["output"] = msgspec.Raw(dump([item for item in items if item]))
        if self._status is not None and bytes(values.get("status", b"null")) in _NO_END:
            values["status"] = msgspec.Raw(dump(self._status))
        return answer(values)


def _response(event: bytes | None) -> dict[str, msgspec.Raw]:
    """The fields of the response that an event carries."""
    if event is None:
        return {}
    try:
        return fields(bytes(fields(event).get("response", b"{}")))
    except BadBody:
        # Only the fast way of cutting the bytes may have failed, or there is no object.
        found = load_object(event, "an event").get("response")
        return fields(dump(found)) if isinstance(found, dict) else {}


def _said(holder: Any) -> str | None:
    """The message of an error: of the one that this object holds, or of the object itself."""
    error = holder.get("error") if isinstance(holder, dict) else None
    error = holder if error is None else error
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) and said else None
