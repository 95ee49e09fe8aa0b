"""Live traffic before and after: which of its numbers moved, by how much, and which of that is more than chance.

Numbers of one user, or of sessions that continue one another, are a cluster. Rewards and scores are compared within one
version of their rubric alone. All differences of a comparison are tested together (Holm).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from drawbar.record.filter import EVERYTHING, Filter
from drawbar.record.live_traffic import LiveSession, NewestScore, Page, Stretch, pages, sizes_of, still_open
from drawbar.rollout.shift import FEWEST, MOST_CLUSTERS, Ratio, Sample, Shift, Table
from drawbar.rollout.statistics import holm

if TYPE_CHECKING:
    from drawbar.record.select_groups import By
    from drawbar.record.store import Store

LEVEL: Final = 0.05
MOST_GROUPS: Final = 20
MOST_NAMES: Final = 50
"""Of scores, and of tools, that are compared in one group: they come from outside."""
SESSIONS_TIMED: Final = 10_000
"""On each side, whose model calls make the latencies: all, or, of more sessions, so many by chance."""
MOST_LINKS: Final = 200_000
"""Sessions that continue others, of which it is remembered which the first was."""
QUANTILES: Final = (0.5, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One number on both sides."""

    name: str
    rubric: str | None
    shift: Shift
    counts: tuple[int, int]
    """Sessions (of a latency: model calls) that it is made of."""
    p_adjusted: float | None = None
    """By Holm, over all differences of the comparison."""

    @property
    def moved(self) -> bool | None:
        """Whether that is more than chance; None: it cannot be said."""
        return None if self.p_adjusted is None else self.p_adjusted < LEVEL

    @property
    def why_not(self) -> str | None:
        """Why it cannot be said."""
        if self.p_adjusted is not None:
            return None
        if not self.counts[0] or not self.counts[1]:
            return "only after" if self.counts[1] else "only before"
        return "too few"

    def to_json(self) -> dict[str, Any]:
        shift = self.shift
        return {
            "name": self.name, "rubric": self.rubric, "before": shift.before, "after": shift.after,
            "difference": shift.difference, "ci95": None if shift.low is None else [shift.low, shift.high],
            "p": shift.p, "p_adjusted": self.p_adjusted, "moved": self.moved, "why_not": self.why_not,
            "counts": list(self.counts),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftGroup:
    """The sessions with one combination of values."""

    by: tuple[Any, ...]
    sessions: tuple[int, int]
    clusters: tuple[int, int]
    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What `drawbar compare --live` shows."""

    before: Stretch
    after: Stretch
    names: tuple[str, ...]
    """Of the columns that groups are told apart by."""
    groups: tuple[DriftGroup, ...]
    tests: int
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "before": {"from": self.before.begin, "to": self.before.end},
            "after": {"from": self.after.begin, "to": self.after.end},
            "correction": "holm", "level": LEVEL, "tests": self.tests, "remarks": list(self.remarks),
            "groups": [
                {
                    "by": dict(zip(self.names, group.by, strict=True)), "sessions": list(group.sessions),
                    "clusters": list(group.clusters), "metrics": [move.to_json() for move in group.moves],
                }
                for group in self.groups
            ],
        }  # fmt: skip


def drift(
    store: Store,
    before: Stretch,
    after: Stretch,
    *,
    filter: Filter = EVERYTHING,
    by: Sequence[By] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Drift:
    """Compare the live sessions that began in two stretches of time and have ended.

    `progress` is told how many sessions were read, and how many there are.

    Raises:
        StoreError: the store cannot be read.
    """
    found = [Counter(sizes_of(store, filter, by, stretch)) for stretch in (before, after)]
    sizes = found[0] + found[1]
    wanted = [values for values, _ in sizes.most_common(MOST_GROUPS)]
    groups = {values: _Group() for values in wanted}
    clusters, done, total = _Clusters(), 0, sum(sizes.values())
    for side, stretch in enumerate((before, after)):
        timed = SESSIONS_TIMED / max(1, found[side].total())
        for page in pages(store, filter, by, stretch, timed):
            for session in page.sessions:
                cluster = clusters.of(session)
                if session.by in groups:
                    groups[session.by].add(side, cluster, session, page)
            done += len(page.sessions)
            progress(done, total)
    working = still_open(store, filter, before) + still_open(store, filter, after)
    remarks = _remarks(groups, len(sizes) - len(wanted), working)
    if any(each.total() > SESSIONS_TIMED for each in found):
        remarks.append(f"Latencies are of the model calls of about {SESSIONS_TIMED:,} sessions on a side, by chance.")
    return _tested(before, after, by, groups, remarks)


def _tested(
    before: Stretch, after: Stretch, by: Sequence[By], groups: dict[tuple[Any, ...], _Group], remarks: list[str]
) -> Drift:
    found = {values: group.moves() for values, group in groups.items()}
    known = [move for moves in found.values() for move in moves if move.shift.p is not None]
    adjusted = dict(zip(map(id, known), holm([move.shift.p or 0.0 for move in known]), strict=True))
    made = [
        DriftGroup(
            by=values, sessions=(groups[values].sessions[0], groups[values].sessions[1]),
            clusters=(len(groups[values].clusters[0]), len(groups[values].clusters[1])),
            moves=tuple(
                Move(name=m.name, rubric=m.rubric, shift=m.shift, counts=m.counts, p_adjusted=adjusted.get(id(m)))
                for m in moves
            ),
        )
        for values, moves in found.items()
    ]  # fmt: skip
    names = tuple(column.name for column in by)
    return Drift(before=before, after=after, names=names, groups=tuple(made), tests=len(known), remarks=tuple(remarks))


class _Clusters:
    """Numbers of clusters: by user; of sessions without one, by the first of those that continue one another."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def of(self, session: LiveSession) -> int:
        first = session.id
        if session.continues is not None:
            first = self._first.get(session.continues, session.continues)
            if len(self._first) < MOST_LINKS:
                self._first[session.id] = first
        name = f"s{first}" if session.user is None else f"u{session.user}"
        found = self._known.get(name)
        if found is not None:
            return found
        if len(self._known) < MOST_CLUSTERS:
            return self._known.setdefault(name, len(self._known))
        return crc32(name.encode()) % MOST_CLUSTERS


@dataclass
class _Group:
    """Adds up one combination's sessions."""

    plain: Table = field(default_factory=lambda: Table(_WIDTH))
    rewards: dict[str, Ratio] = field(default_factory=dict)
    """By version of their rubric."""
    scores: dict[tuple[str, str, bool], Ratio] = field(default_factory=dict)
    """By name, version and whether people gave them."""
    tools: dict[str, Ratio] = field(default_factory=dict)
    """How often each was called."""
    tool_calls: Ratio = field(default_factory=Ratio)
    """In all."""
    latency: Sample = field(default_factory=Sample)
    sessions: list[int] = field(default_factory=lambda: [0, 0])
    clusters: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))
    left_out: bool = False

    def add(self, side: int, cluster: int, session: LiveSession, page: Page) -> None:
        self.sessions[side] += 1
        self.clusters[side].add(cluster)
        self.plain.add(side, cluster, _row(session))
        if session.id in page.scores:
            self._add_scores(side, cluster, page.scores[session.id])
        if session.id in page.latencies:
            self.latency.add(side, cluster, page.latencies[session.id])
        if session.id in page.tools:
            self._add_tools(side, cluster, page.tools[session.id])

    def _ratio(self, among: dict[Any, Ratio], name: Any) -> Ratio:
        found = among.get(name)
        if found is None:
            found = Ratio()
            if len(among) < MOST_NAMES:
                among[name] = found
            else:
                self.left_out = True
        return found

    def _add_scores(self, side: int, cluster: int, scores: Sequence[NewestScore]) -> None:
        reward: float | None = None
        complete, rubric = True, ""
        for name, value, weight, version, feedback in scores:
            if weight and not feedback:
                rubric, complete = version, complete and value is not None
                reward = (reward or 0.0) + weight * (value or 0.0)
            if value is not None:
                self._ratio(self.scores, (name, "" if feedback else version, feedback)).add(side, cluster, value)
        if reward is not None and complete:
            self._ratio(self.rewards, rubric).add(side, cluster, reward)

    def _add_tools(self, side: int, cluster: int, tools: Sequence[tuple[str, int]]) -> None:
        calls = 0
        for tool, count in tools:
            self._ratio(self.tools, tool).add(side, cluster, count, 0.0)
            calls += count
        self.tool_calls.add(side, cluster, 0.0, calls)

    def moves(self) -> list[Move]:
        """Every number that some session has, in a fixed order."""
        found = [_move("reward", version, ratio) for version, ratio in sorted(self.rewards.items())]
        for (name, version, feedback), ratio in sorted(self.scores.items(), key=lambda item: (item[0][2], item[0])):
            found.append(_move(f"{'feedback' if feedback else 'score'}.{name}", version or None, ratio))
        found += [_move(name, None, self.plain.ratio(*columns)) for name, columns in _PLAIN.items()]
        counts = (self.latency.counts[0], self.latency.counts[1])
        for share in QUANTILES:
            name = f"latency_p{100 * share:.0f}"
            found.append(Move(name=name, rubric=None, shift=self.latency.shift(share), counts=counts))
        for tool, ratio in sorted(self.tools.items()):
            ratio.share(self.tool_calls)
            found.append(_move(f"share of {tool}", None, ratio))
        return [move for move in found if any(move.counts)]


def _move(name: str, rubric: str | None, ratio: Ratio) -> Move:
    return Move(name=name, rubric=rubric, shift=ratio.shift(), counts=(ratio.counts[0], ratio.counts[1]))


def _row(session: LiveSession) -> tuple[float, ...]:
    """What every session has, in the order of `_PLAIN`'s columns."""
    tools, cost = session.tool_calls, session.cost
    return (
        1.0, session.calls, session.failed_calls, session.turns, tools, session.tool_errors, tools > 0,
        session.prompt_tokens, session.completion_tokens, session.health != "unknown", session.health == "defect",
        cost is not None, cost or 0.0,
    )  # fmt: skip


_WIDTH: Final = 13
_PLAIN: Final = {
    "error_rate": (2, 1, 0), "tool_error_rate": (5, 4, 6), "defect_rate": (10, 9, 9), "turns": (3, 0, 0),
    "tool_calls": (4, 0, 0), "prompt_tokens": (7, 0, 0), "completion_tokens": (8, 0, 0), "cost": (12, 11, 11),
}  # fmt: skip
"""Of each number its numerator, its denominator and how many sessions have it, as columns of `_row`."""


def _remarks(groups: dict[tuple[Any, ...], _Group], further: int, working: int) -> list[str]:
    """What must be known to read the differences rightly."""
    found = [said for side in (0, 1) if (said := _too_few(groups.values(), side)) is not None]
    if (said := _versions(groups.values())) is not None:
        found.append(said)
    if working:
        found.append(f"{working} sessions are still at work and left out.")
    if further > 0:
        found.append(f"{further} further groups, with fewer sessions, are left out.")
    if any(group.left_out for group in groups.values()):
        found.append(f"Some scores or tools are left out: at most {MOST_NAMES} of each are compared.")
    return found


def _too_few(groups: Collection[_Group], side: int) -> str | None:
    word, sessions = ("before", "after")[side], sum(group.sessions[side] for group in groups)
    clusters = len(set[int]().union(*(group.clusters[side] for group in groups)))
    if not sessions:
        return f"There are no live sessions {word}: nothing can be compared."
    if clusters >= FEWEST:
        return None
    said = f"{sessions} live sessions of {clusters} users or families of sessions {word}"
    return f"Only {said}: too few to tell a change from chance (it takes {FEWEST})."


def _versions(groups: Collection[_Group]) -> str | None:
    ratios = [(key[1], ratio.counts) for group in groups for key, ratio in group.scores.items() if not key[2]]
    before, after = ({version for version, counts in ratios if counts[side]} for side in (0, 1))
    if before == after or not before or not after:
        return None
    alone = (("before", before - after), ("after", after - before))
    said = "; ".join(f"{', '.join(sorted(names))} only {word}" for word, names in alone if names)
    advice = "`drawbar score` brings all to one version."
    return f"Rubric versions differ ({said}): their scores are not compared. {advice}"
