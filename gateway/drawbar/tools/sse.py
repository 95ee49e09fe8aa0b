"""Server-sent events, read from bytes (https://html.spec.whatwg.org/multipage/server-sent-events.html). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drawbar.errors import ToolServerError


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `retry` is in seconds."""

    data: bytes
    id: str | None = None
    retry: float | None = None


class EventReader:
    """Feed it bytes as they come; it gives the events that they complete."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest: list[bytes] = []
        self._size = 0
        self._data: list[bytes] = []
        self._id: str | None = None
        self._retry: float | None = None

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Raises `ToolServerError` when one event grows beyond the limit."""
        self._size += len(chunk)
        if self._size > self._limit:
            raise ToolServerError(f"it sent an event of more than {self._limit:,} bytes")
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            line = b"".join((*self._rest, piece)) if self._rest else piece
            self._rest = []
            if (event := self._line(line.removesuffix(b"\r"))) is not None:
                self._size = len(rest)
                yield event
        if rest:
            self._rest.append(rest)

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._end()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"id":
            self._id = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit():
            self._retry = int(value) / 1000
        return None

    def _end(self) -> Event | None:
        if not self._data and self._id is None and self._retry is None:
            return None
        event = Event(b"\n".join(self._data), self._id, self._retry)
        self._data, self._id, self._retry = [], None, None
        return event
