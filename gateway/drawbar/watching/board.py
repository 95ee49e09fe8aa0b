"""What a view of a watched store holds: its sessions in their order, and what is said of all of them. No terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from drawbar.watching.changes import Begun, Change, Gone, Pulse, Trouble, Watched

ORDERS: Final[Mapping[str, Callable[[Watched], Any]]] = {
    "last call": lambda session: session.heard or session.started,
    "start": lambda session: session.started,
    "turns": lambda session: session.turns,
    "tokens": lambda session: session.tokens,
    "cost": lambda session: session.cost or 0.0,
    "agent": lambda session: (session.agent or "", session.model or ""),
}
"""What open sessions can be ordered by, the largest first; `agent` from A on."""


class Board:
    """The newest state of everything that was told."""

    def __init__(self) -> None:
        self.pulse: Pulse | None = None
        self.trouble: str | None = None
        """Why nothing new is seen; None: all is well."""
        self.order = next(iter(ORDERS))
        self.reversed = False
        self._sessions: dict[str, Watched] = {}

    def take(self, changes: Iterable[Change]) -> None:
        """What was told, in its order."""
        for change in changes:
            match change:
                case Begun():
                    self._sessions.clear()
                    self.pulse = None
                case Watched():
                    self._sessions[change.id] = change
                case Gone():
                    self._sessions.pop(change.id, None)
                case Pulse():
                    self.pulse, self.trouble = change, None
                case Trouble():
                    self.trouble = change.message

    @property
    def open(self) -> list[Watched]:
        """Open sessions, as they are ordered."""
        found = [session for session in self._sessions.values() if session.status == "open"]
        found.sort(key=lambda session: session.id)
        from_the_largest = (self.order != "agent") != self.reversed
        return sorted(found, key=ORDERS[self.order], reverse=from_the_largest)

    @property
    def ended(self) -> list[Watched]:
        """Ended sessions, the last first."""
        found = [session for session in self._sessions.values() if session.status != "open"]
        return sorted(found, key=lambda session: (session.ended or 0.0, session.id), reverse=True)

    def next_order(self) -> None:
        """Order by the next thing."""
        names = list(ORDERS)
        self.order = names[(names.index(self.order) + 1) % len(names)]
        self.reversed = False
