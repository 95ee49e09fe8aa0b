"""What the gateway itself notes of a call: under its own name, among the fields of the envelope that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drawbar.wire.dialect import BadBody
from drawbar.wire.fields import patched
from drawbar.wire.tolerant import load


def with_notes(envelope: bytes, notes: Mapping[str, Any]) -> bytes:
    """The envelope with these notes, the same bytes without any. Raises `BadBody`."""
    return patched(envelope, {"drawbar": notes}) if notes else envelope


def notes_in(envelope: bytes | None) -> Mapping[str, Any]:
    """The notes of an envelope; none where nothing was noted, or it cannot be read any more."""
    if envelope is None or b'"drawbar":{' not in envelope:
        return {}
    try:
        value = load(envelope)
    except BadBody:
        return {}
    notes = value.get("drawbar") if isinstance(value, dict) else None
    return notes if isinstance(notes, dict) else {}
