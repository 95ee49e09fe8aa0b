"""A cassette, read and indexed: its calls by what they ask for, by whose they were, and by what had come before them.

Equal things are numbers here: calls that ask for the same have one number, and so have equal histories of writes. A
history is known in three ways: its writes in their order, its writes in any order, and the names of its writes.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import orjson

from drawbar.record.redaction import Redact
from drawbar.tools.cassettes.counting import Counting
from drawbar.tools.cassettes.format import Header, Recording

UNKNOWN: Final = -1
"""The number of what no recording has."""
START: Final = 0
"""The history of nothing."""
FEW: Final = 24
"""So many recordings are looked through faster than an index of them is made."""

Origin: TypeAlias = "Track | str | None"
"""Whose recordings: one session's, one task's, or anybody's."""


@dataclass(slots=True, eq=False)
class Take:
    """One recorded call, placed."""

    recording: Recording
    index: int
    """Among the recordings of its tool, in the order of sessions and calls."""
    call: int
    """What it asks for."""
    track: Track
    writes: bool
    ordered: int
    """The writes before it in their order,"""
    unordered: int
    """in any order,"""
    named: int
    """and by name alone."""
    group: int = 0
    """Calls of a track that were under way at the same time are of one group."""


@dataclass(slots=True, eq=False)
class Track:
    """The recorded calls of one session, in their order."""

    session: str
    task: str | None
    rollout: int
    attempt: int
    takes: list[Take] = field(default_factory=list)
    followers: int = 0
    """Sessions that were led by it."""
    whole: bool = True
    """Whether all writes of its session are in it."""


@dataclass(slots=True)
class World:
    """What a session had done so far, by its writes."""

    group: int = 0
    """Of the recorded calls that are under way."""
    writes: int = 0
    ordered: int = START
    unordered: int = START
    named: int = START


class Bucket:
    """All recordings that ask for the same. Few have many; those get an index when they are first asked."""

    def __init__(self) -> None:
        self.takes: list[Take] = []
        self._indexed = 0
        self._index: dict[tuple[str, int, Origin], list[Take]] = defaultdict(list)

    def after(self, way: str, history: int, origin: Origin) -> list[Take]:
        """Those with this history, known in this `way` (`ordered`, `unordered`, `named`, `any`), in their order."""
        if len(self.takes) <= FEW:
            return [
                take
                for take in self.takes
                if (way == "any" or getattr(take, way) == history)
                and (origin is None or take.track is origin or take.track.task == origin)
            ]
        for take in self.takes[self._indexed :]:
            for whose in (take.track, take.track.task, None) if take.track.task is not None else (take.track, None):
                for each in ("ordered", "unordered", "named"):
                    self._index[each, getattr(take, each), whose].append(take)
                self._index["any", START, whose].append(take)
        self._indexed = len(self.takes)
        return self._index.get((way, history, origin), [])


class Tape:
    """What a cassette holds of some of its servers.

    `names`: each server as the cassette names it, and as the environment does.
    """

    def __init__(
        self,
        header: Header,
        recordings: Iterable[Recording],
        names: Mapping[str, str],
        counting: Counting,
        is_read_only: Callable[[str, str], bool],
        redact: Redact | None = None,
    ) -> None:
        """`is_read_only`: of a server (as the environment names it) and a tool. `redact`: what the recorded arguments
        may have passed before they were kept."""
        self.header = header
        self.counting = counting
        self.is_read_only = is_read_only
        self._redact = redact
        self.tracks: list[Track] = []
        self.by_task: dict[str, list[Track]] = defaultdict(list)
        self.tools: dict[tuple[str, str], list[Take]] = defaultdict(list)
        """Every recording, by server and tool."""
        self.openings: dict[int, list[Track]] = defaultdict(list)
        """Tracks by the calls that they may begin with."""
        self.buckets: dict[int, Bucket] = {}
        self._calls: dict[tuple[str, str, bytes], int] = {}
        self._weights: list[int] = []
        self._chance = random.Random(0)
        self._after: dict[tuple[int, int], int] = {}
        self._named_after: dict[tuple[int, str, str], int] = {}
        self._lay(recordings, names)

    def call(self, server: str, tool: str, arguments: Mapping[str, Any]) -> int:
        """The number of what is asked for; `UNKNOWN` where no recording asks for it."""
        number = self._calls.get((server, tool, self.counting.key(tool, arguments)), UNKNOWN)
        if number == UNKNOWN and self._redact is not None:
            kept = _redacted(arguments, self._redact)
            number = self._calls.get((server, tool, self.counting.key(tool, kept)), UNKNOWN)
        return number

    def after(self, history: int, call: int) -> int:
        """A history that goes on with this write; `UNKNOWN` where no recording has it."""
        return self._after.get((history, call), UNKNOWN)

    def named_after(self, history: int, server: str, tool: str) -> int:
        """The same, by names alone."""
        return self._named_after.get((history, server, tool), UNKNOWN)

    def with_any(self, history: int, call: int) -> int:
        """The same, in any order."""
        return UNKNOWN if UNKNOWN in (history, call) else (history + self._weights[call]) & _MASK

    def tracks_for(self, task: str | None, rollout: int) -> list[Track]:
        """Those of a task, of its last attempt at this rollout first; those of all tasks for one without recordings."""
        of_task = self.by_task.get(task) if task is not None else None
        tracks = of_task or self.tracks
        return sorted(tracks, key=lambda track: (track.rollout != rollout, -track.attempt, track.followers))

    def add(self, recording: Recording, server: str, world: World) -> Take:
        """One more recording, of a session that had done so much."""
        alone = Track(recording.session, recording.task, recording.rollout, recording.attempt)
        return self._place(recording, server, alone, world)

    def _lay(self, recordings: Iterable[Recording], names: Mapping[str, str]) -> None:
        sessions: dict[str, list[Recording]] = defaultdict(list)
        for recording in recordings:
            if recording.server in names or (not recording.server and len(names) == 1):
                sessions[recording.session].append(recording)
        only = next(iter(names.values()), "")
        for found in sessions.values():
            found.sort(key=lambda recording: -1 if recording.seq is None else recording.seq)
            self._lay_track(self._track(found[0]), found, {**names, "": only})

    def _track(self, first: Recording) -> Track:
        track = Track(first.session, first.task, first.rollout, first.attempt)
        self.tracks.append(track)
        if track.task is not None:
            self.by_task[track.task].append(track)
        return track

    def _lay_track(self, track: Track, recordings: list[Recording], names: Mapping[str, str]) -> None:
        world, busy_until, told = World(), 0.0, 0
        for recording in recordings:
            if recording.started is None or recording.started >= busy_until:
                world.group += 1
            busy_until = max(busy_until, (recording.started or 0.0) + (recording.seconds or 0.0))
            if recording.writes > told:  # lines were taken out: nothing else has seen this world
                world.ordered = self._grown(self._after, (world.ordered, UNKNOWN - 1 - len(self._after)))
                world.unordered = self._chance.getrandbits(64)
                told = recording.writes
                track.whole = False
            told += recording.write  # also of a tool that only reads by configuration
            take = self._place(recording, names[recording.server], track, world)
            track.takes.append(take)
            if world.group == 1:
                self.openings[take.call].append(track)
            if take.writes:
                self._pass(take, names[recording.server], world)

    def _place(self, recording: Recording, server: str, track: Track, world: World) -> Take:
        key = (server, recording.tool, self.counting.key(recording.tool, recording.arguments))
        call = self._calls.setdefault(key, len(self._calls))
        if call == len(self._weights):
            self._weights.append(self._chance.getrandbits(64))
            self.buckets[call] = Bucket()
        kind = self.tools[server, recording.tool]
        writes = recording.write and not self.is_read_only(server, recording.tool)
        histories = world.ordered, world.unordered, world.named
        take = Take(recording, len(kind), call, track, writes, *histories, world.group)
        kind.append(take)
        self.buckets[call].takes.append(take)
        return take

    def _pass(self, take: Take, server: str, world: World) -> None:
        world.writes += 1
        world.ordered = self._grown(self._after, (world.ordered, take.call))
        world.unordered = (world.unordered + self._weights[take.call]) & _MASK
        world.named = self._grown(self._named_after, (world.named, server, take.recording.tool))

    @staticmethod
    def _grown(histories: dict[Any, int], step: Any) -> int:
        return histories.setdefault(step, len(histories) + 1)


def _redacted(arguments: Mapping[str, Any], redact: Redact) -> Mapping[str, Any]:
    """Arguments as they would have been kept; as they are, where the hook leaves nothing that can be read."""
    try:
        kept = orjson.loads(redact(orjson.dumps(arguments)))
    except Exception:
        return arguments
    return kept if isinstance(kept, dict) else arguments


_MASK: Final = 2**64 - 1
