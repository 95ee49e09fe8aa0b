"""What the sessions of an environment share of a cassette, and what each of them has for itself: its position, its
drift. Knows how servers are named in a cassette and in an environment; no connection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import msgspec

from drawbar.errors import ConfigurationError
from drawbar.record.redaction import Redact
from drawbar.tools.cassettes.counting import Counting
from drawbar.tools.cassettes.drift import Drift
from drawbar.tools.cassettes.format import Header, Recording, read
from drawbar.tools.cassettes.generation import NextGeneration
from drawbar.tools.cassettes.playing import ClosestCalls, Course, Found, Player, player
from drawbar.tools.cassettes.recording import is_marked_read_only
from drawbar.tools.cassettes.settings import Cassette
from drawbar.tools.cassettes.tape import Take, Tape
from drawbar.tools.connection import Caller, ToolRequest
from drawbar.tools.protocol import Json


@dataclass(slots=True)
class _Seat:
    """One session's place at a cassette."""

    player: Player
    drift: Drift = field(default_factory=Drift)


class Deck:
    """A cassette in one mode, for those servers of an environment that it stands in for. Use `load`."""

    def __init__(
        self,
        cassette: Cassette,
        header: Header,
        recordings: Iterable[Recording],
        servers: Sequence[str],
        redact: Redact | None = None,
    ) -> None:
        """Raises `ConfigurationError`: the cassette does not hold these servers."""
        self.cassette = cassette
        self.schema: dict[str, list[str]] = {}
        """How each server that was asked live lists other tools than the recorded one."""
        self.written = NextGeneration(Path(cassette.path), header, redact)
        self._header = header
        self._names = names_in(cassette, header, servers)
        """Each server as the cassette names it, and as the environment does."""
        self._several = len(servers) > 1
        self._live_tools: dict[str, list[Json]] = {}
        self._tape = Tape(header, recordings, self._names, Counting(cassette.ignore), self.is_read_only, redact)
        self._closest = ClosestCalls(self._tape)
        self._seats: dict[str, _Seat] = {}

    @classmethod
    def load(cls, cassette: Cassette, servers: Sequence[str], redact: Redact | None = None) -> Self:
        """Read the file. Raises `ConfigurationError`."""
        return cls(cassette, *read(Path(cassette.path)), servers, redact)

    def tools(self, server: str) -> list[Json]:
        """The tools as they were listed when the cassette was recorded."""
        return self._header.tools(self.recorded_name(server))

    def instructions(self, server: str) -> str | None:
        """What the server said of itself then."""
        said = self._header.servers[self.recorded_name(server)].get("instructions")
        return said if isinstance(said, str) else None

    def lists_live(self, server: str, tools: list[Json]) -> None:
        """The live server was asked for its tools."""
        self._live_tools[server] = tools

    def is_read_only(self, server: str, tool: str) -> bool:
        """Whether a tool only reads: by its server's word, live or recorded, or by configuration."""
        if any(fnmatchcase(tool, p) or fnmatchcase(f"{server}.{tool}", p) for p in self.cassette.read_only):
            return True
        tools = self._live_tools.get(server) or self._header.servers[self.recorded_name(server)].get("tools") or ()
        return is_marked_read_only(tools, tool)

    def find(self, server: str, request: ToolRequest) -> Found | None:
        """What answers a call; None: nothing does. `missed` or `asked_live` says what became of it."""
        seat = self._seat(request.caller)
        found = seat.player.find(server, request.tool, request.arguments)
        if found is not None:
            seat.drift.answered(self._label(server, request.tool), request.arguments, found)
        return found

    def missed(self, server: str, request: ToolRequest, why: str) -> None:
        """Nothing answered a call."""
        self._seat(request.caller).drift.miss(self._label(server, request.tool), request.arguments, why)

    def no_such_tool(self, caller: Caller, tool: str, arguments: Mapping[str, Any]) -> None:
        """A tool was called that no server has."""
        self._seat(caller).drift.no_such_tool(tool, arguments)

    def asked_live(self, server: str, request: ToolRequest) -> None:
        """The live server is asked for what no recording has."""
        self._seat(request.caller).drift.asked_live(self._label(server, request.tool))

    def asked_before(self, server: str, request: ToolRequest, cause: str | None, answer: bytes | None) -> None:
        """A session that comes from another gateway, or from before a restart, made this call there: it came to
        `answer` (JSON), or to nothing, why `cause` says."""
        if self.find(server, request) is not None:
            return
        if self.cassette.mode != "fall-through" or cause == "cassette_missed":
            self.missed(server, request, "no recorded call is like it")
            return
        self.asked_live(server, request)
        if answer is not None:
            caller = request.caller
            self.learn(
                server,
                Recording(
                    server=self.recorded_name(server), tool=request.tool, arguments=dict(request.arguments),
                    session=caller.session, task=caller.task, rollout=caller.rollout, attempt=caller.attempt,
                    write=False, result=msgspec.Raw(answer),
                ),
            )  # fmt: skip

    def learn(self, server: str, recording: Recording) -> None:
        """The live server's answer answers from now on, too."""
        seat = self._seat(Caller(recording.session, recording.task, recording.rollout, recording.attempt))
        course = seat.player.course
        course.played.add(self._tape.add(recording, server, course.world))

    def drift(self, caller: Caller) -> dict[str, Any]:
        """What this session's replay was like so far, as its metadata has it."""
        seat = self._seat(caller)
        recorded = {self._label(*of): len(takes) for of, takes in self._tape.tools.items()}
        found = {
            "path": str(self.cassette.path),
            "generation": self._header.generation,
            "mode": self.cassette.mode,
            "max_misses": self.cassette.max_misses,
            **seat.drift.to_json(recorded, self._unused(seat.player.course)),
        }
        if any(self.schema.values()):
            found["schema"] = [each for changes in self.schema.values() for each in changes]
        if seat.drift.total("live") and self.written.path is not None:
            found["written"] = str(self.written.path)
        return found

    def misses(self, session: str) -> int:
        """How many calls of a session had no answer."""
        seat = self._seats.get(session)
        return 0 if seat is None else seat.drift.total("misses")

    def forget(self, session: str) -> None:
        """This session is over, and its drift is kept elsewhere."""
        self._seats.pop(session, None)

    def recorded_name(self, server: str) -> str:
        """The server as the cassette names it."""
        return next(recorded for recorded, name in self._names.items() if name == server)

    def _seat(self, caller: Caller) -> _Seat:
        seat = self._seats.get(caller.session)
        if seat is None:
            course = Course(self._tape, caller.session, caller.task, caller.rollout)
            seat = self._seats[caller.session] = _Seat(player(course, self.cassette, self._closest))
        return seat

    def _unused(self, course: Course) -> list[tuple[str, Take]]:
        if course.track is None and course.task is not None and course.task in self._tape.by_task:
            takes = self._tape.tracks_for(course.task, course.rollout)[0].takes
        else:
            takes = course.unused
        return [(self._label(self._names.get(t.recording.server, ""), t.recording.tool), t) for t in takes]

    def _label(self, server: str, tool: str) -> str:
        return f"{server}.{tool}" if self._several else tool


def load_decks(cassettes: Mapping[str, Cassette], redact: Redact | None = None) -> dict[str, Deck]:
    """The deck of each server that has a cassette. Servers with the same cassette in the same mode share one: the
    writes of one are then known to be before the reads of another. Raises `ConfigurationError`."""
    sharing: dict[Cassette, list[str]] = defaultdict(list)
    for name, cassette in cassettes.items():
        sharing[cassette].append(name)
    found: dict[str, Deck] = {}
    for cassette, names in sharing.items():
        found.update(dict.fromkeys(names, Deck.load(cassette, names, redact)))
    return found


def names_in(cassette: Cassette, header: Header, servers: Sequence[str]) -> dict[str, str]:
    """Each of these servers as the cassette names it, and as it is called here: where both have one alone, the names
    may differ. Raises `ConfigurationError`: one is not in it."""
    if len(servers) == 1 and len(header.servers) == 1 and servers[0] not in header.servers:
        return {next(iter(header.servers)): servers[0]}
    missing = [name for name in servers if name not in header.servers]
    if missing:
        held = ", ".join(map(repr, header.servers)) or "none"
        raise ConfigurationError(
            f"The cassette {cassette.path} holds no calls of server {missing[0]!r}; it holds those of: {held}."
        )
    return {name: name for name in servers}
