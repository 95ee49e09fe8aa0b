"""The modes: which recorded call answers a session's next one. Each session has a player of its own.

A player decides at once, without waiting for anything. It knows the tape and what its session has asked so far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias

from drawbar.tools.cassettes.likeness import Closest
from drawbar.tools.cassettes.settings import Cassette
from drawbar.tools.cassettes.tape import FEW, START, UNKNOWN, Bucket, Origin, Take, Tape, Track, World

How: TypeAlias = Literal["hit", "stale", "near"]
"""`stale`: it was recorded after other writes than the session made. `near`: for other arguments."""

_SAME_WORLD: Final = ("ordered", "unordered")
"""How histories of writes are compared where they are to be the same."""


@dataclass(frozen=True, slots=True)
class Found:
    """A recorded call, and how well it answers."""

    take: Take
    how: How
    likeness: float = 1.0


@dataclass(slots=True)
class Course:
    """What one session has asked so far."""

    tape: Tape
    session: str
    task: str | None = None
    rollout: int = 0
    track: Track | None = None
    """The recorded session that it goes along with."""
    played: set[Take] = field(default_factory=set)
    world: World = field(default_factory=World)
    past: list[int] = field(default_factory=lambda: [START])
    """The histories of its writes so far, as long as recordings have them too."""

    def follow(self, track: Track) -> None:
        """Go along with a recorded session, if it does not go along with one already."""
        if self.track is None:
            self.track = track
            track.followers += 1

    def passed(self, server: str, tool: str, call: int, take: Take | None) -> None:
        """A call was made. It counts as the recorded one that answered it."""
        if take is not None:
            self.played.add(take)
            self.follow(take.track)
        writes = not self.tape.is_read_only(server, tool) if take is None else take.writes
        if not writes:
            return
        world, call = self.world, call if take is None else take.call
        world.writes += 1
        world.ordered = self.tape.after(world.ordered, call)
        world.unordered = self.tape.with_any(world.unordered, call)
        world.named = self.tape.named_after(world.named, server, tool)
        if world.ordered != UNKNOWN:
            self.past.append(world.ordered)

    @property
    def unused(self) -> list[Take]:
        """What of the recorded session that it goes along with it did not ask for."""
        return [take for take in self.track.takes if take not in self.played] if self.track is not None else []


class Player(Protocol):
    """Answers one session."""

    course: Course

    def find(self, server: str, tool: str, arguments: Mapping[str, Any]) -> Found | None:
        """What answers this call, and the session has then passed; None: nothing, it is a miss."""


class ByArguments:
    """The same tool with the same arguments: of the session's own track if possible, after the same writes if possible;
    several of them in order, then the last again."""

    def __init__(self, course: Course) -> None:
        self.course = course
        self._cursors: dict[int, int] = {}
        """How far each list of recordings has been played, by the list's identity."""
        if course.task is not None and course.task in course.tape.by_task:
            course.follow(course.tape.tracks_for(course.task, course.rollout)[0])

    def find(self, server: str, tool: str, arguments: Mapping[str, Any]) -> Found | None:
        call = self.course.tape.call(server, tool, arguments)
        found = self.choose(call)
        self.course.passed(server, tool, call, found.take if found is not None else None)
        return found

    def choose(self, call: int) -> Found | None:
        """What answers a call of this number; nothing is passed yet."""
        bucket = self.course.tape.buckets.get(call)
        if bucket is None:
            return None
        world = self.course.world
        for way in _SAME_WORLD:
            if takes := self._recorded_after(bucket, way, getattr(world, way)):
                return Found(self._next(takes), "hit")
        if (take := self._meanwhile(bucket)) is not None:
            return Found(take, "hit")
        for way, history in (("named", world.named), *(("ordered", h) for h in reversed(self.course.past))):
            if takes := self._recorded_after(bucket, way, history):
                return Found(self._next(takes), "stale")
        return Found(self._next(self._recorded_after(bucket, "any", START)), "stale")

    def _recorded_after(self, bucket: Bucket, way: str, history: int) -> list[Take]:
        """Those of the session's own track, or else of its task, or else of anybody."""
        if history == UNKNOWN:
            return []
        lists = (bucket.after(way, history, origin) for origin in self._origins())
        return next((takes for takes in lists if takes), [])

    def _meanwhile(self, bucket: Bucket) -> Take | None:
        """One of the session's own track that differs in no write but those that were under way with it: such calls
        come in any order."""
        course, track = self.course, self.course.track
        if track is None or not track.whole:
            return None
        writes = [take for take in track.takes if take.writes]
        made = [take.group for take in writes if take in course.played]
        if len(made) != course.world.writes:
            return None
        missing = next((take.group for take in writes if take not in course.played), len(track.takes) + 1)
        takes = bucket.after("any", START, track)
        under_way = (t for t in takes if t not in course.played and max(made, default=0) <= t.group <= missing)
        return next(under_way, None)

    def _origins(self) -> Iterator[Origin]:
        if self.course.track is not None:
            yield self.course.track
        if self.course.task is not None:
            yield self.course.task
        yield None

    def _next(self, takes: list[Take]) -> Take:
        """The first that was not played yet, or else the last. A long list is the index's own, and is gone on with."""
        played = self.course.played
        place = self._cursors.get(id(takes), 0) if len(takes) > FEW else 0
        while place < len(takes) and takes[place] in played:
            place += 1
        if len(takes) > FEW:
            self._cursors[id(takes)] = place
        return takes[min(place, len(takes) - 1)]


class Nearest:
    """As `ByArguments`; for a call that nobody made, the recorded one of the same tool whose arguments are closest."""

    def __init__(self, course: Course, threshold: float, closest: ClosestCalls) -> None:
        self.course = course
        self._same = ByArguments(course)
        self._threshold = threshold
        self._closest = closest

    def find(self, server: str, tool: str, arguments: Mapping[str, Any]) -> Found | None:
        tape = self.course.tape
        call, likeness = tape.call(server, tool, arguments), 1.0
        found = self._same.choose(call)
        if found is None:
            wanted = tape.counting.what_counts(tool, arguments)
            near = self._closest.of(server, tool).find(wanted, self._threshold)
            if near is not None:
                likeness, found = near[1], self._same.choose(near[0])
        self.course.passed(server, tool, call, found.take if found is not None else None)
        return Found(found.take, "near", likeness) if found is not None and call == UNKNOWN else found


class ClosestCalls:
    """For each tool of a tape, what finds the closest call. Shared by all sessions."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._made: dict[tuple[str, str], Closest] = {}

    def of(self, server: str, tool: str) -> Closest:
        """Made when it is first asked for."""
        made = self._made.get((server, tool))
        if made is None:
            takes = {take.call: take.recording.arguments for take in reversed(self._tape.tools.get((server, tool), []))}
            counted = [(call, self._tape.counting.what_counts(tool, each)) for call, each in reversed(takes.items())]
            made = self._made[server, tool] = Closest(counted)
        return made


class Fifo:
    """The answers of one track, for each tool in their order, whatever the arguments."""

    def __init__(self, course: Course) -> None:
        self.course = course
        self._given: Counter[tuple[str, str]] = Counter()
        self._queues: dict[tuple[str, str], list[Take]] = {}

    def find(self, server: str, tool: str, arguments: Mapping[str, Any]) -> Found | None:
        call = self.course.tape.call(server, tool, arguments)
        if self.course.track is None:
            self._choose_track(server, tool, call)
        place = self._given[server, tool]
        takes = self._queues.get((server, tool))
        if takes is None:
            takes = self._queues[server, tool] = self._takes(self.course.track, server, tool)
        take = takes[place] if place < len(takes) else None
        self._given[server, tool] += 1
        self.course.passed(server, tool, call, take)
        return None if take is None else Found(take, "hit" if take.call == call else "near")

    def _choose_track(self, server: str, tool: str, call: int) -> None:
        """The first that begins with this call; if none does, the first that has the tool; if none has, the first."""
        tracks = self.course.tape.tracks_for(self.course.task, self.course.rollout)
        having = [(track, takes) for track in tracks if (takes := self._takes(track, server, tool))]
        same = next((track for track, takes in having if takes[0].call == call), None)
        track = same or next((track for track, _ in having), tracks[0] if tracks else None)
        if track is not None:
            self.course.follow(track)

    def _takes(self, track: Track | None, server: str, tool: str) -> list[Take]:
        if track is None:
            return []
        kind = self.course.tape.tools.get((server, tool), [])
        return [take for take in track.takes if take.recording.tool == tool and kind[take.index] is take]


@dataclass(slots=True)
class _Cursor:
    """How far one track has been played."""

    track: Track
    place: int = 0
    """Where the group under way begins."""
    given: set[Take] = field(default_factory=set)
    """What of that group has been."""

    def find(self, call: int) -> Take | None:
        """The next that asks for this."""
        takes = self.track.takes
        for take in self._group(takes):
            if take.call == call and take not in self.given:
                return take
        return None

    def advance(self, take: Take) -> None:
        """This one has been."""
        self.given.add(take)
        if len(self.given) == sum(1 for _ in self._group(self.track.takes)):
            self.place += len(self.given)
            self.given = set()

    def _group(self, takes: list[Take]) -> Iterator[Take]:
        for place in range(self.place, len(takes)):
            if takes[place].group != takes[self.place].group:
                return
            yield takes[place]


class Strict:
    """The calls of one track in their order, with their arguments.

    All tracks of the task that began as the session did are gone along with, and the first of them answers.
    """

    def __init__(self, course: Course) -> None:
        self.course = course
        self._cursors: list[_Cursor] = []

    def find(self, server: str, tool: str, arguments: Mapping[str, Any]) -> Found | None:
        call = self.course.tape.call(server, tool, arguments)
        found = [(cursor, take) for cursor in self._possible(call) if (take := cursor.find(call)) is not None]
        if not found:
            self.course.passed(server, tool, call, None)
            return None
        for cursor, take in found:
            cursor.advance(take)
        self._cursors = [cursor for cursor, _ in found]
        first = found[0][1]
        if self.course.track is not first.track:
            self._switch(first.track)
        self.course.passed(server, tool, call, first)
        return Found(first, "hit")

    def _possible(self, call: int) -> list[_Cursor]:
        if self._cursors:
            return self._cursors
        course = self.course
        openings = set(course.tape.openings.get(call, ()))
        if not openings:
            return []
        return [_Cursor(track) for track in course.tape.tracks_for(course.task, course.rollout) if track in openings]

    def _switch(self, track: Track) -> None:
        """The track that it went along with has gone elsewhere: what it has played is this one's."""
        course = self.course
        passed = len(course.played)
        if course.track is not None:
            course.track.followers -= 1
            course.played = set(track.takes[:passed])
        course.track = None
        course.follow(track)


def player(course: Course, cassette: Cassette, closest: ClosestCalls) -> Player:
    """A new session's player."""
    match cassette.mode:
        case "strict":
            return Strict(course)
        case "fifo":
            return Fifo(course)
        case "nearest":
            return Nearest(course, cassette.threshold, closest)
        case "by-arguments" | "fall-through":
            return ByArguments(course)
