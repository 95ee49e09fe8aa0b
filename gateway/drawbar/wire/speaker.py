"""Whose a message may be, told without reading it: in whichever dialect, most are plainly not a model's."""

from __future__ import annotations

import re
from typing import Final

_OF_OTHERS: Final = re.compile(rb'\s*\{\s*"role"\s*:\s*"(?:user|system|developer|tool)"')
"""How most messages begin that are not a model's."""
_OF_MODELS: Final = (b"assistant", b"model", b"function_call", b"reasoning")
"""One of these stands in whatever a model says."""


def may_be_models(message: bytes) -> bool:
    """False for a message that no model said. A list of items is a model's."""
    if _OF_OTHERS.match(message) is not None:
        return False
    return message[:1] == b"[" or any(mark in message for mark in _OF_MODELS)
