"""A JSON array that is streamed piece by piece: cut into its elements, whatever way the network cut it before.

A piece ends where an element ends. Brackets, commas and line ends between elements stand at the beginning of the piece
that follows them, so that an element can be passed on as soon as it is whole. The closing bracket is a piece of its
own.
"""

from __future__ import annotations

import re
from typing import Final

from drawbar.wire.dialect import BadBody

KEEPALIVE: Final = b"\n"
"""White space, which may stand between elements. Between the events of a `gemini` stream it may too, as an empty line,
and has to: google-genai takes a comment (`sse.KEEPALIVE`) for an answer that cannot be read."""

MEDIA_TYPE: Final = b"application/json"

_OUTSIDE: Final = re.compile(rb'["\[\]{}]')
_INSIDE: Final = re.compile(rb'["\\]')
_BETWEEN: Final = b" \t\r\n,["


class ElementSplitter:
    """Cuts the bytes of an array of objects into pieces, each with every byte that it came with."""

    def __init__(self, max_element: int = 64 * 1024 * 1024) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._max = max_element
        self._depth = 0
        """Of open braces, and of brackets inside them."""
        self._quoted = False
        self._escaped = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The pieces that are complete now. Raises `BadBody` when one grows past all measure."""
        pieces: list[bytes] = []
        begin = at = 0
        while (found := self._next(chunk, at)) is not None:
            at = found
            if self._ends(chunk[at - 1 : at]):
                pieces.append(b"".join((*self._parts, chunk[begin:at])))
                self._parts, self._size, begin = [], 0, at
        if begin < len(chunk):
            self._parts.append(chunk[begin:])
            self._size += len(chunk) - begin
        if self._size > self._max:
            raise BadBody(f"an element of more than {self._max} bytes")
        return pieces

    def rest(self) -> bytes:
        """What came after the last whole piece; taken out."""
        rest, self._parts, self._size = b"".join(self._parts), [], 0
        return rest

    def _next(self, chunk: bytes, at: int) -> int | None:
        """Behind the next brace or bracket outside of any text; None when the chunk has no more."""
        while at < len(chunk):
            if self._escaped:
                self._escaped, at = False, at + 1
                continue
            found = (_INSIDE if self._quoted else _OUTSIDE).search(chunk, at)
            if found is None:
                return None
            at = found.end()
            if found[0] == b"\\":
                self._escaped = True
            elif found[0] == b'"':
                self._quoted = not self._quoted
            else:
                return at
        return None

    def _ends(self, sign: bytes) -> bool:
        """Take a brace or bracket; whether a piece ends behind it."""
        if sign == b"{" or (sign == b"[" and self._depth):
            self._depth += 1
        elif sign == b"]" and not self._depth:
            return True
        elif sign in (b"}", b"]"):
            self._depth = max(0, self._depth - 1)
            return self._depth == 0
        return False


def payload(piece: bytes) -> bytes | None:
    """The element in a piece; None for one without (the closing bracket, white space)."""
    found = piece.lstrip(_BETWEEN)
    return found if found.strip() not in (b"", b"]") else None


def element(data: bytes, *, first: bool) -> bytes:
    """A piece that carries this element; `first` when nothing but white space was sent before it."""
    return (b"[" if first else b",\r\n") + data


def end(*, first: bool) -> bytes:
    """The piece that ends the array."""
    return b"[]" if first else b"]"
