"""How `drawbar watch` says things: what stands in a cell, and which columns a width has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from drawbar.cli.output import SHORT, counted
from drawbar.watching.changes import Pulse, Rewarded, Watched

GAP: Final = 2
_STYLES: Final = {"defect": "red", "warning": "yellow", "unknown": "dim"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a list of sessions."""

    heading: str
    width: int
    say: Callable[[Watched, float], Text | str]
    """Of a session, at this moment."""
    keep: int = 0
    """How late it is left out where there is no room: the smallest first."""
    right: bool = False
    grows: bool = False
    """Whether it takes the room that is left."""


def plain(text: str | None) -> str:
    """A text of a client's as a terminal may have it: nothing in it steers one."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text or "")


def age(seconds: float) -> str:
    """`12s`, `3m`, `2h`, `5d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def amount(number: int) -> str:
    """`950`, `12.3k`, `4.5M`."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def dollars(cost: float | None) -> str:
    """What is not known is not said."""
    return "" if cost is None else f"${cost:.4f}" if cost < 1 else f"${cost:.2f}"


def number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


def scores(session: Watched) -> str:
    """Each score by its name; where there is one alone, it is the reward."""
    said = " ".join(f"{plain(name)} {number(value)}" for name, value in session.scores.items())
    return said if len(session.scores) > 1 or session.reward is None else ""


def feedback(session: Watched) -> str:
    """What people said of it."""
    thumbs = {1.0: "thumbs up", 0.0: "thumbs down"}
    found = []
    for name, value in session.feedback.items():
        if name == "thumbs" and value in thumbs:
            found.append(thumbs[value])
        else:
            found.append(plain(name) + ("" if value is None else f" {value:.3g}"))
    return ", ".join(found)


def who(session: Watched) -> str:
    """Whose it is, and how its client marked it."""
    return plain(
        " ".join(part for part in (session.user, session.release, *(f"#{tag}" for tag in session.tags)) if part)
    )


def _doing(session: Watched, now: float) -> Text | str:
    if session.doing is None:
        return Text("idle", style="dim")
    return Text(plain(session.doing), style="cyan" if session.doing == "model" else "magenta")


def _health(session: Watched, now: float) -> Text:
    found = ", ".join(session.findings) if session.findings else session.health
    return Text(plain(found), style=_STYLES.get(session.health, ""))


def _about(session: Watched, now: float) -> str:
    return plain(" · ".join(part for part in (session.environment, session.task) if part))


_SESSION: Final = Column("session", SHORT, lambda session, _: session.id[:SHORT], keep=3)
_AGENT: Final = Column("agent", 12, lambda session, _: plain(session.agent), keep=9)
_MODEL: Final = Column("model", 18, lambda session, _: plain(session.model), keep=8)
_TOOLS: Final = Column(
    "tools", 7, lambda s, _: f"{s.tool_calls}/{s.tool_errors}!" if s.tool_errors else str(s.tool_calls), 4, right=True
)
_TURNS: Final = Column(
    "turns", 6, lambda s, _: f"{s.turns}/{s.failed_calls}!" if s.failed_calls else str(s.turns), 10, right=True
)
_TOKENS: Final = Column("tokens", 7, lambda session, _: amount(session.tokens), 7, right=True)
_COST: Final = Column("cost", 8, lambda session, _: dollars(session.cost), 6, right=True)
_WHO: Final = Column("user · tags", 16, lambda session, _: who(session), keep=5, grows=True)
_ABOUT: Final = Column("environment · task", 18, _about, keep=2)

OPEN: Final[Sequence[Column]] = (
    _SESSION,
    Column("age", 4, lambda session, now: age(now - session.started), 1, right=True),
    Column("heard", 5, lambda session, now: age(now - (session.heard or session.started)), 11, right=True),
    Column("doing", 16, _doing, keep=12),
    _AGENT, _MODEL, _TURNS, _TOOLS, _TOKENS, _COST, _ABOUT, _WHO,
)  # fmt: skip
ENDED: Final[Sequence[Column]] = (
    _SESSION,
    Column("ended", 5, lambda session, now: age(now - (session.ended or now)), 11, right=True),
    Column("ended by", 12, lambda session, _: plain(session.stop), keep=5),
    Column("reward", 7, lambda session, _: "" if session.reward is None else f"{session.reward:.3f}", 12, right=True),
    Column("rubric", 8, lambda session, _: (session.rubric or "")[:8], keep=4),
    Column("health", 16, _health, keep=10),
    _AGENT, _MODEL, _TURNS, _TOKENS, _COST,
    Column("feedback", 18, lambda session, _: Text(feedback(session), style="green"), keep=6),
    Column("scores", 20, lambda session, _: scores(session), keep=2),
    _WHO,
)  # fmt: skip


def fitting(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """The columns that a width has room for, each with its own width."""
    left = sorted(columns, key=lambda column: column.keep)
    while len(left) > 1 and sum(column.width + GAP for column in left) - GAP > width:
        left.pop(0)
    spare = width - sum(column.width + GAP for column in left) + GAP
    kept = [column for column in columns if column in left]
    grower = next((column for column in kept if column.grows), kept[-1])
    return [(column, column.width + max(0, spare) if column is grower else column.width) for column in kept]


def row(columns: Sequence[tuple[Column, int]], session: Watched, now: float) -> Text:
    """One session's line."""
    line = Text(no_wrap=True, overflow="crop")
    for number, (column, width) in enumerate(columns):
        said = column.say(session, now)
        cell = said if isinstance(said, Text) else Text(said)
        line.append(" " * GAP if number else "")
        line.append(_sized(cell.plain, width, right=column.right), style=cell.style)
    return line


def headings(columns: Sequence[tuple[Column, int]]) -> Text:
    """The line above them."""
    said = (_sized(column.heading, width, right=column.right) for column, width in columns)
    return Text((" " * GAP).join(said), style="dim", no_wrap=True, overflow="crop")


def _sized(text: str, width: int, *, right: bool) -> str:
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    return " " * (width - cell_len(text)) + text if right else set_cell_size(text, width)


def summary(pulse: Pulse) -> str:
    """How all that is watched does, in one line."""
    parts = [counted(pulse.open, "open session"), f"{counted(pulse.under_way, 'call')} under way"]
    if pulse.per_second is not None:
        parts.append(f"{pulse.per_second:.2f} calls/s")
    if pulse.error_rate is not None:
        parts.append(f"{pulse.error_rate:.1%} failed")
    if pulse.recorder is not None:
        state = "recording fails" if pulse.recorder.failing else f"recorder lag {pulse.recorder.lag * 1000:.0f} ms"
        parts.append(f"{state}, {counted(pulse.recorder.waiting, 'row')} waiting")
    return " · ".join(parts)


def means(rewards: Sequence[Rewarded]) -> str:
    """The mean reward, by rubric."""
    if not rewards:
        return "no rewards yet"
    said = []
    for each in rewards[:3]:
        interval = "" if each.low is None or each.high is None else f" ({each.low:.3f} to {each.high:.3f})"
        said.append(f"{each.mean:.3f}{interval} of {each.sessions} by {each.rubric[:8]}")
    return "reward " + " · ".join(said) + (f" · and {len(rewards) - 3} rubrics more" if len(rewards) > 3 else "")
