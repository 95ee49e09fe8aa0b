"""How bodies lie in the store: as they are, or as one zstd frame. Nothing outside this folder knows which.

A frame is told by zstd's magic number, so a packed column needs no second column beside it. A body that happens to
begin with the magic number is always compressed, and so is never taken for a frame of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import zstandard

THRESHOLD: Final = 512
"""Bytes below which compressing costs more than it saves."""

_MAGIC: Final = b"\x28\xb5\x2f\xfd"


class Packer:
    """Compresses at zstd level 1. Not to be shared between threads."""

    def __init__(self, threshold: int | None = None) -> None:
        self._threshold = THRESHOLD if threshold is None else threshold
        self._compress = zstandard.ZstdCompressor(level=1).compress

    def __call__(self, body: bytes) -> bytes:
        """The body as the store keeps it. The same body always packs to the same bytes."""
        foreign = body.startswith(_MAGIC)
        if len(body) < self._threshold and not foreign:
            return body
        packed = self._compress(body)
        return packed if foreign or len(packed) < len(body) else body


class Unpacker:
    """Gives back what `Packer` was given. Not to be shared between threads."""

    def __init__(self) -> None:
        self._decompress = zstandard.ZstdDecompressor().decompress

    def __call__(self, body: bytes) -> bytes:
        """Raises `zstandard.ZstdError` when the stored bytes are damaged."""
        return self._decompress(body) if body.startswith(_MAGIC) else body

    def each(self, bodies: Iterable[bytes]) -> list[bytes]:
        """Many at once."""
        decompress, magic = self._decompress, _MAGIC
        return [decompress(body) if body.startswith(magic) else body for body in bodies]
