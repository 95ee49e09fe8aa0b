"""Names of models that lead to others: an alias, with fallbacks of its own, or a split between several. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drawbar.errors import ConfigurationError
from drawbar.ids import digest


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """Where one name leads."""

    to: Mapping[str, float]
    """Models with their weights."""
    fallbacks: Sequence[str] | None = None
    """Asked in order when that model fails; None: those of all models."""

    def __post_init__(self) -> None:
        if sum(self.to.values()) <= 0:
            raise ConfigurationError("A route leads to at least one model with a weight above 0.")

    def chosen(self, name: str, session: str) -> str:
        """The model that this session is sent to: always the same one, on every gateway. Of many sessions, each model
        gets its weight's share."""
        at = int.from_bytes(digest(name.encode(), b"\0", session.encode())[:8], "big") / 2**64
        left = at * sum(self.to.values())
        for model, weight in self.to.items():
            left -= weight
            if left < 0:
                return model
        return [model for model, weight in self.to.items() if weight > 0][-1]  # all of it was taken by rounding
