"""Server-sent events: a stream of bytes cut into events, whatever way the network cut it before.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html. Lines end in LF, CRLF or CR; a blank line ends
an event.
"""

from __future__ import annotations

import re
from typing import Final

from drawbar.wire.dialect import BadBody

KEEPALIVE: Final = b": keepalive\n\n"
"""A comment: every client skips it, and no proxy on the way thinks the connection is dead."""

_LINE_END: Final = rb"[\r\n](?:(?<=\r)\n)?+"
_END: Final = re.compile(_LINE_END + _LINE_END)
_LINE: Final = re.compile(rb"\r\n|\n|\r")


class EventSplitter:
    """Cuts a byte stream into whole events, each with every byte that it came with."""

    def __init__(self, max_event: int = 64 * 1024 * 1024) -> None:
        self._buffer = b""
        self._searched = 0
        self._max = max_event

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that are complete now, their ends included. Raises `BadBody` when one grows past all measure."""
        if not self._buffer and _is_one(chunk):
            return [chunk]  # the usual case
        buffer = self._buffer + chunk if self._buffer else chunk
        events: list[bytes] = []
        at = 0
        search = self._searched
        while (end := _END.search(buffer, search)) is not None:
            if end.end() == len(buffer) and buffer.endswith(b"\r"):
                break  # a line feed that belongs to this carriage return may follow
            events.append(buffer[at : end.end()])
            at = search = end.end()
        self._buffer = buffer[at:]
        if len(self._buffer) > self._max:
            raise BadBody(f"an event of more than {self._max} bytes")
        self._searched = max(0, len(self._buffer) - 3)
        return events

    def rest(self) -> bytes:
        """What came after the last whole event; taken out."""
        rest, self._buffer, self._searched = self._buffer, b"", 0
        return rest


def _is_one(chunk: bytes) -> bool:
    """Whether a chunk is one event and nothing else, which can be seen without looking for ends of lines."""
    size = len(chunk)
    if chunk.endswith(b"\n\n"):
        return chunk.find(b"\n\n") == size - 2 and b"\r" not in chunk
    return chunk.endswith(b"\r\n\r\n") and chunk.find(b"\r") == size - 4 and chunk.find(b"\n") == size - 3


def payload(event: bytes) -> bytes | None:
    """The event's data; None for one without (a comment, say)."""
    start = event.find(b"\n") + 1 if event.startswith(b"event:") else 0
    if event.startswith(b"data: ", start) and event.find(b"\r", 0, start) < 0:
        stop = len(event) - (2 if event.endswith(b"\n\n") else 4 if event.endswith(b"\r\n\r\n") else 0)
        if event.find(b"\n", start, stop) < 0 and event.find(b"\r", start, stop) < 0:
            return event[start + 6 : stop]
    found = [_value(line) for line in _LINE.split(event.removeprefix(b"\xef\xbb\xbf")) if _is_data(line)]
    return b"\n".join(found) if found else None


def event(data: bytes) -> bytes:
    """An event that carries this data."""
    return b"data: " + data + b"\n\n"


def _is_data(line: bytes) -> bool:
    return line.startswith(b"data:") or line == b"data"


def _value(line: bytes) -> bytes:
    return line[5:].removeprefix(b" ")
