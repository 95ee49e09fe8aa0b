"""The picture that `drawbar watch` shows: open sessions, those that ended last, one session, a line to type in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from drawbar.cli.watch_cells import ENDED, OPEN, Column, fitting, headings, means, plain, row, summary
from drawbar.watching.board import Board
from drawbar.watching.changes import Watched

HELP: Final = "q quit  space pause  s sort  r reverse  / filter  ↑↓ choose  enter open"
HELP_SESSION: Final = "q back  ↑↓ page up, down  f whole texts"
_AROUND: Final = 5
"""Lines that are no sessions, beside the head: the headings, the foot."""


@dataclass
class Picture:
    """What is shown, and how; the keys change it."""

    board: Board
    name: str
    """What is watched."""
    where: str = ""
    paused: float | None = None
    """The moment that is shown; None: this one."""
    chosen: str | None = None
    """A session's id."""
    typed: str | None = None
    """A filter that is being typed; None: none is."""
    mistake: str | None = None
    """What is wrong with it."""
    session: list[Text] | None = None
    """The lines of the session that was opened."""
    top: int = 0
    """Of them the first that is shown."""
    full: bool = False
    """Whether long texts are shown whole."""
    _shown: list[str] = field(default_factory=list)

    def draw(self, width: int, height: int, now: float | None = None) -> RenderableType:
        """The picture, as lines that fit."""
        now = self.paused or now or time.time()
        lines = self._session(height) if self.session is not None else self._lists(width, height, now)
        return Group(*(_cut(line, width) for line in lines[:height]))

    def choose(self, by: int) -> None:
        """Choose another session, so many lines below."""
        if self.chosen in self._shown:
            at = max(0, min(len(self._shown) - 1, self._shown.index(self.chosen) + by))
            self.chosen = self._shown[at]
        else:
            self.chosen = self._shown[0] if self._shown else None

    def scroll(self, by: int) -> None:
        """Another part of the session."""
        self.top = max(0, min(self.top + by, len(self.session or ()) - 1))

    def _lists(self, width: int, height: int, now: float) -> list[Text]:
        opened, ended = self.board.open, self.board.ended
        self._shown = [session.id for session in (*opened, *ended)]
        head = self._head(width)
        room = max(2, height - _AROUND - len(head))
        below = min(len(ended), max(room // 3, room - max(1, len(opened))))
        above = room - below
        order = self.board.order + (", reversed" if self.board.reversed else "")
        lines = [*head, *self._list(f"open, by {order}", OPEN, opened, width, above, now)]
        lines += self._list("ended", ENDED, ended, width, below, now) if below else []
        return [*lines, *([Text()] * (height - 1 - len(lines))), self._foot()]

    def _head(self, width: int) -> list[Text]:
        head = Text(plain(self.name), style="bold")
        if self.where:
            head.append(f"  where {plain(self.where)}", style="not bold cyan")
        if self.paused is not None:
            head.append("  paused", style="bold yellow")
        if self.board.pulse is None:
            return [head, Text(plain(self.board.trouble) or "looking …", style="red" if self.board.trouble else "dim")]
        if self.board.trouble is not None:
            return [head, Text(plain(self.board.trouble), style="red")]
        said = summary(self.board.pulse), means(self.board.pulse.rewards)
        line = " · ".join(said)
        return [head, Text(line)] if len(line) <= width else [head, *map(Text, said)]

    def _list(
        self, name: str, columns: Sequence[Column], sessions: Sequence[Watched], width: int, room: int, now: float
    ) -> list[Text]:
        fit = fitting([column for column in columns if _says_anything(column, sessions, now)], width)
        ids = [session.id for session in sessions]
        at = ids.index(self.chosen) if self.chosen in ids else 0
        first = max(0, min(at - room // 2, len(sessions) - room))
        shown = sessions[first : first + room]
        more = f", {first + 1} to {first + len(shown)}" if len(shown) < len(sessions) else ""
        title = Text(f"{len(sessions)} {name}{more}", style="bold")
        return [title, headings(fit), *(self._row(fit, session, now) for session in shown)]

    def _row(self, columns: Sequence[tuple[Column, int]], session: Watched, now: float) -> Text:
        line = row(columns, session, now)
        if session.id == self.chosen:
            line.stylize("reverse")
        return line

    def _foot(self) -> Text:
        if self.typed is None:
            return Text(HELP, style="dim")
        line = Text(f"filter: {self.typed}▏", style="bold")
        line.append(f"  {plain(self.mistake)}" if self.mistake else "  enter: watch it, escape: leave it", style="dim")
        return line

    def _session(self, height: int) -> list[Text]:
        lines = self.session or []
        shown = lines[self.top : self.top + height - 1]
        foot = Text(f"{HELP_SESSION}  {self.top + 1} to {self.top + len(shown)} of {len(lines)}", style="dim")
        return [*shown, *([Text()] * (height - 1 - len(shown))), foot]


def _says_anything(column: Column, sessions: Sequence[Watched], now: float) -> bool:
    """Whether a column is worth its room: for some of the sessions something stands in it."""
    return not sessions or any(column.say(session, now) for session in sessions)


def _cut(line: Text, width: int) -> Text:
    line = line.copy()
    line.no_wrap, line.overflow = True, "crop"
    line.truncate(width, overflow="ellipsis")
    return line
