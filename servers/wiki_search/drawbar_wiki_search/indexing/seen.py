"""Which ids have been seen, in a few bytes each: a data set may have tens of millions of rows."""

from __future__ import annotations

from array import array
from hashlib import blake2b


class Seen:
    """A set of 64-bit digests of texts, in an open hash table at most half full: 16 to 32 bytes for each text."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 << 16))
        self._count = 0

    def add(self, text: str) -> bool:
        """Whether the text is new."""
        digest = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()) or 1  # 0 is "empty"
        if not self._put(digest):
            return False
        self._count += 1
        if self._count * 2 > len(self._table):
            self._grow()
        return True

    def _put(self, digest: int) -> bool:
        table, mask = self._table, len(self._table) - 1
        place = digest & mask
        while table[place]:
            if table[place] == digest:
                return False
            place = (place + 1) & mask
        table[place] = digest
        return True

    def _grow(self) -> None:
        old, self._table = self._table, array("Q", bytes(16 * len(self._table)))
        for digest in old:
            if digest:
                self._put(digest)
