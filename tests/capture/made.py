"""Candidates for the tests of functions over lists of them."""

from __future__ import annotations

from typing import Any

from drawbar.capture.candidate import Candidate


def candidate(session: str, asked: str = "", **fields: Any) -> Candidate:
    """A session in which a user asked something."""
    opening = ({"role": "user", "content": asked or f"A question that only {session} asks."},)
    return Candidate(**{"session": session, "key": session, "opening": opening, "family": session, **fields})
