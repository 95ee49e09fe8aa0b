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

_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE: Final = re.compile(rb"\r\n|\n|\r")


class EventSplitter:
    """Cuts a byte stream into whole events, each with every byte that it came with."""

    def __init__(self, max_event: int = 64 * 1024 * 1024) -> None:
        self._buffer = b""
        self._searched = 0
        self._max = max_event

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that are complete now, their ends included. Raises `BadBody` when one grows past all measure."""
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


def payload(event: bytes) -> bytes | None:
    """The event's data; None for one without (a comment, say)."""
    if event.startswith(b"data: "):
        line = event[6:].rstrip(b"\r\n")
        if b"\n" not in line and b"\r" not in line:
            return line
    found = [_value(line) for line in _LINE.split(event.removeprefix(b"\xef\xbb\xbf")) if _is_data(line)]
    return b"\n".join(found) if found else None


def event(data: bytes) -> bytes:
    """An event that carries this data."""
    return b"data: " + data + b"\n\n"


def _is_data(line: bytes) -> bool:
    return line.startswith(b"data:") or line == b"data"


def _value(line: bytes) -> bytes:
    return line[5:].removeprefix(b" ")
