"""Live sessions of a stretch of time with what is known of each: page by page, so that memory holds one page, whatever
the store holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias
from zlib import crc32

from sqlalchemy import Connection, Select, func, select, tuple_

from drawbar.errors import ConfigurationError
from drawbar.record.filter import Filter
from drawbar.record.filter_columns import COLUMNS, HEALTH, SUMS
from drawbar.record.filter_sql import expression
from drawbar.record.filter_values import BadValue, moment, seconds
from drawbar.record.observing import LIVE
from drawbar.record.schema import call, newest_score, session, tool_call
from drawbar.record.select import SESSIONS
from drawbar.record.select_groups import By

if TYPE_CHECKING:
    from drawbar.record.store import Store

PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """From one time on, and before another; unix seconds."""

    begin: float
    end: float


def stretches(before: str, after: str, now: float) -> tuple[Stretch, Stretch]:
    """What two texts mean: the time up to now as a length (`1d`), and as a length what came before that (`7d`); or
    from one time to another (`2026-11-01..2026-11-08`, in UTC).

    Raises:
        ConfigurationError: one cannot be read, or the first is not over when the second begins.
    """
    second = _stretch("--after", after, now, now)
    first = _stretch("--before", before, now, second.begin)
    if first.end > second.begin:
        raise ConfigurationError("--before must be over when --after begins.")
    return first, second


def _stretch(option: str, text: str, now: float, end: float) -> Stretch:
    begin, dots, to = text.partition("..")
    try:
        found = Stretch(moment(now)(begin).low, moment(now)(to).low) if dots else Stretch(end - seconds(text).low, end)
    except BadValue as error:
        raise ConfigurationError(f"{option} {text}: expected {error}") from error
    if found.begin >= found.end:
        raise ConfigurationError(f"{option} {text}: it ends before it begins.")
    return found


class LiveSession(NamedTuple):
    """What a live session that has ended came to."""

    id: str
    started: float
    continues: str | None
    user: str | None
    turns: int
    calls: int
    failed_calls: int
    tool_calls: int
    tool_errors: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    health: str
    by: tuple[Any, ...] = ()
    """The values of the columns that it is told apart by."""


NewestScore: TypeAlias = tuple[str, float | None, float, str, bool]
"""The newest score of one name: that name, its value, its weight, the version of its rubric, and whether people gave
it. A plain tuple, as the driver gives it: there are very many."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some sessions, and what else is asked of them, by session."""

    sessions: list[LiveSession]
    scores: dict[str, list[NewestScore]] = field(default_factory=lambda: defaultdict(list))
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds of its answered model calls."""
    tools: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    """How often it called each tool."""


_COLUMNS: Final = LiveSession._fields[:-1]


def sizes_of(store: Store, filter: Filter, by: Sequence[By], stretch: Stretch) -> dict[tuple[Any, ...], int]:
    """The combinations of values that there are, and how many sessions have each."""
    named = [column.value.label(f"by_{number}") for number, column in enumerate(by)]
    each = _among(select(session.c.id, *named), filter, stretch).subquery()
    groups = [each.c[column.name] for column in named]
    query = select(*groups, func.count()).select_from(each).group_by(*groups)
    with store.reading() as connection:
        return {tuple(values): count for *values, count in connection.execute(query) if count}


def still_open(store: Store, filter: Filter, stretch: Stretch) -> int:
    """How many of the stretch's sessions are still at work."""
    query = select(func.count()).select_from(SESSIONS).where(LIVE, session.c.status == "open", _within(stretch))
    with store.reading() as connection:
        return int(connection.execute(query.where(expression(filter.condition))).scalar_one())


def pages(store: Store, filter: Filter, by: Sequence[By], stretch: Stretch, timed: float = 1.0) -> Iterator[Page]:
    """The sessions that began in the stretch and have ended, the oldest first. Those without a model call are none.

    `timed` is the share of them (which ones follows from their ids) whose latencies are read too.
    """
    last: LiveSession | None = None
    while True:
        with store.reading() as connection:
            page = Page(list(_sessions(connection, filter, by, stretch, last)))
            if page.sessions:
                _complete(connection, page, timed)
        if page.sessions:
            yield page
        if len(page.sessions) < PAGE:
            return
        last = page.sessions[-1]


def _within(stretch: Stretch) -> Any:
    return (session.c.started >= stretch.begin) & (session.c.started < stretch.end)


def _among(query: Select[Any], filter: Filter, stretch: Stretch) -> Select[Any]:
    ended = session.c.status == "ended"
    found = query.select_from(SESSIONS).where(LIVE, ended, _within(stretch), SUMS["calls"] > 0)
    return found.where(expression(filter.condition))


def _sessions(
    connection: Connection, filter: Filter, by: Sequence[By], stretch: Stretch, last: LiveSession | None
) -> Iterator[LiveSession]:
    user = COLUMNS["user"].alone
    assert user is not None
    known = {"user": user(None), "health": HEALTH, **SUMS}
    columns = [known[name] if name in known else session.c[name] for name in _COLUMNS]
    left = stretch if last is None else Stretch(last.started, stretch.end)  # no index would skip the pages before
    query = _among(select(*columns, *(column.value for column in by)), filter, left)
    if last is not None:
        query = query.where(tuple_(session.c.started, session.c.id) > tuple_(last.started, last.id))
    for values in _rows(connection, query.order_by(session.c.started, session.c.id).limit(PAGE)):
        own, by_values = values[: len(_COLUMNS)], values[len(_COLUMNS) :]
        yield LiveSession._make((*own, by_values))


def _complete(connection: Connection, page: Page, timed: float) -> None:
    ids = [each.id for each in page.sessions]
    score = newest_score.c
    scores = select(score.session, score.name, score.value, score.weight, score.rubric_version, score.feedback)
    for row in _rows(connection, scores.where(score.session.in_(ids))):
        page.scores[row[0]].append(row[1:])
    some = ids if timed >= 1 else [id for id in ids if crc32(id.encode()) < timed * 2**32]
    answered = call.c.session.in_(some) & (call.c.status == "answered") & call.c.ended.is_not(None)
    for id, latency in _rows(connection, select(call.c.session, call.c.ended - call.c.started).where(answered)):
        page.latencies[id].append(latency)
    tools = select(tool_call.c.session, tool_call.c.tool, func.count()).where(tool_call.c.session.in_(ids))
    for id, tool, count in _rows(connection, tools.group_by(tool_call.c.session, tool_call.c.tool)):
        page.tools[id].append((tool, count))


def _rows(connection: Connection, query: Select[Any]) -> Sequence[Any]:
    """What the driver itself gives: rows of the library's own would cost more than reading them."""
    found: Any = connection.execute(query).cursor
    rows: Sequence[Any] = found.fetchall()
    return rows
