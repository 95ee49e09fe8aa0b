"""Identifiers and digests: how everything in the store is named."""

from __future__ import annotations

import os
import random
import secrets
import time
from hashlib import blake2b

DIGEST_SIZE = 20
"""Bytes of a content digest (160 bits: no accidental collision at any size a store can reach)."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u
_random = random.Random()
"""For what need not be secret. The system's own source would let go of the interpreter lock at each call, and with a
busy thread beside it each then waits for its turn."""
_keys: list[str] = []
if hasattr(os, "register_at_fork"):  # a child must not hand out what its parent will
    os.register_at_fork(after_in_child=_random.seed)
    os.register_at_fork(after_in_child=_keys.clear)
_ENCODED = [a + b for a in _ALPHABET for b in _ALPHABET]


def new_id(prefix: str) -> str:
    """A new identifier such as `ses_01jd8m...`: sorts by time (milliseconds), then 60 random bits; safe in a URL."""
    value = (int(time.time() * 1000) << 60) | _random.getrandbits(60)
    return prefix + "_" + "".join(_ENCODED[(value >> shift) & 1023] for shift in range(100, -1, -10))


def new_key() -> str:
    """A new session key: 160 random bits. A key is a secret; the store keeps its `digest` alone."""
    while True:
        try:
            return "dbk_" + _keys.pop()
        except IndexError:  # a supply at a time, for the reason above
            source = secrets.token_hex(20 * 64)
            _keys.extend(source[at : at + 40] for at in range(0, len(source), 40))


def digest(*parts: bytes) -> bytes:
    """The `DIGEST_SIZE`-byte BLAKE2b digest of the parts, joined as they are."""
    h = blake2b(digest_size=DIGEST_SIZE)
    for part in parts:
        h.update(part)
    return h.digest()
