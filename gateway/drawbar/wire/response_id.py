"""What a provider calls its answer. Every dialect says it in the answer's outermost object."""

from __future__ import annotations

from typing import Final

import msgspec

from drawbar.wire.dialect import BadBody
from drawbar.wire.fields import fields

LONGEST: Final = 200
"""Characters; what is longer is no id."""
_FIELDS: Final = ("id", "responseId")
"""Gemini's is the second."""


def response_id(envelope: bytes) -> str | None:
    """The id in an answer's envelope; None where there is none that can be one."""
    try:
        values = fields(envelope)
        raw = next((values[name] for name in _FIELDS if name in values), None)
        found = None if raw is None else msgspec.json.decode(raw)
    except (BadBody, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, str) and 0 < len(found) <= LONGEST and found.isprintable() else None
