"""The seam for streams that are written while the reply comes: what a model says piece by piece, in another dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from drawbar.wire.message import Reasoning, Text

Spoken: TypeAlias = type[Text] | type[Reasoning]
"""What a piece of a reply is: words, or thoughts before them."""


class Speech(Protocol):
    """One stream of one dialect, as the payloads of its events."""

    def begun(self) -> list[bytes]:
        """What stands before any reply."""

    def more(self, kind: Spoken, piece: str) -> list[bytes]:
        """A piece of what is said."""

    def ended(self, answer: Mapping[str, Any]) -> list[bytes]:
        """All that is missing yet, once the whole native answer is known: it begins with what was said by pieces."""
