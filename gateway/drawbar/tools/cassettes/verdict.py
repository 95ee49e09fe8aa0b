"""What the cassettes of a session come to when it ends: its drift report, and whether it can be counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drawbar.causes import CAUSES
from drawbar.tools.cassettes.deck import Deck
from drawbar.tools.cassettes.drift import METADATA
from drawbar.tools.connection import Caller


@dataclass(frozen=True, slots=True)
class Replayed:
    """Of one session."""

    metadata: Mapping[str, Any]
    cause: str | None = None
    """Why it does not count, by a name from `drawbar.causes`; None: nothing here speaks against it."""
    error: str | None = None

    def cause_over(self, stop: str) -> str:
        """Why the session ended, if it was to end for `stop`: what made it invalid anyway comes first."""
        return self.cause if self.cause is not None and CAUSES[stop].count else stop


def replayed(decks: Sequence[Deck], caller: Caller, unrecorded: str | None) -> Replayed | None:
    """`unrecorded`: why a cassette that was to be recorded lacks calls. None: there is no cassette."""
    if unrecorded is not None:
        return Replayed({}, "recorder_failed", unrecorded)
    if not decks:
        return None
    drifts = []
    cause = error = None
    for deck in decks:
        drifts.append(drift := deck.drift(caller))
        if drift["misses"] > deck.cassette.max_misses:
            cause, error = "cassette_missed", _told(drift)
    return Replayed({METADATA: drifts}, cause, error)


def _told(drift: Mapping[str, Any]) -> str:
    calls = ", ".join(f"{call['tool']} {call['arguments']}" for call in drift["missed"][:3])
    more = drift["misses"] - min(3, len(drift["missed"]))
    return (
        f"No recorded answer to {drift['misses']} of its tool calls in {drift['path']} (allowed: "
        f"{drift['max_misses']}): {calls}{f' and {more} more' if more > 0 else ''}."
    )
