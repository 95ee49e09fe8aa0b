"""Redaction of what a capture writes: the same value becomes the same pseudonym everywhere.

What a configuration's patterns match becomes `<NAME_3>`; personal data and secrets of the usual kinds (`personal`)
become what has their form. The same in prompts, answers, arguments and results, so that an agent that is told
`person3@pseudonym.example` asks the cassette for it and finds the recorded call.

What is looked at: every text, the names of fields (they can be data: a table of customers by address), and integers as
a whole. A text that holds JSON is looked at string by string, as its reader sees it, and keeps its layout. Encoded data
(images, files) is left alone. Where matches overlap, all that they cover becomes one pseudonym. What is a pseudonym
already stays one, also that of an earlier capture: its number is not given again.

Names of persons and what else has no form of its own are not found; a pattern of the configuration can name them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from drawbar.capture.candidate import Candidate
from drawbar.capture.personal import PERSONAL, Kind, by_pattern, label
from drawbar.config.redaction import compiled_pattern
from drawbar.tools.cassettes.format import Recording
from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import load, whole

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?', re.DOTALL)
"""A string or a number in JSON."""
_ENCODED: Final = re.compile(r"(?:data:[^,\s]{0,200},)?[A-Za-z0-9+/_=-]{256,}\s*")
_CACHED: Final = 512
"""Texts whose matches are kept: agents repeat system prompts."""

_COVER: Final = "\0"
_ROUNDS: Final = 8

Visit: TypeAlias = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Match:
    start: int
    end: int
    kind: Kind
    value: str


class Pseudonyms:
    """Gives out pseudonyms, and remembers which.

    Raises:
        ConfigurationError: a pattern that is no regular expression, or that matches everywhere.
    """

    def __init__(self, patterns: Mapping[str, str] | None = None, *, personal: bool = True) -> None:
        """`patterns`: a configuration's, by name. `personal`: the usual kinds too."""
        named = {name: compiled_pattern(name, pattern) for name, pattern in (patterns or {}).items()}
        own = [Kind(name, by_pattern(pattern), *label(name)) for name, pattern in named.items()]
        self._kinds = (*own, *(PERSONAL if personal else ()))
        self._given: dict[tuple[str, str], str] = {}
        self._values: dict[tuple[str, str], None] = {}
        self._places: Counter[str] = Counter()
        self._taken: dict[str, set[int]] = {kind.name: set() for kind in self._kinds}
        self._last: Counter[str] = Counter()
        self._matches = lru_cache(_CACHED)(self._found)

    def learn(self, value: Any) -> None:
        """Note what a JSON value holds, for the report, and which pseudonyms it has already."""
        self._walk(value, self._note)

    def text(self, text: str) -> str:
        """The text as it may be kept."""
        return self._in_text(text, self._replaced)

    def value(self, value: Any) -> Any:
        """A JSON value as it may be kept; tuples stay tuples."""
        return self._walk(value, self._replaced)

    def report(self) -> list[dict[str, Any]]:
        """What was found in all that was learned: `what`, in how many `places`, how many different `values`. Never the
        values."""
        values = Counter(kind for kind, _ in self._values)
        names = dict.fromkeys(kind.name for kind in self._kinds)
        return [{"what": name, "values": values[name], "places": self._places[name]} for name in names if values[name]]

    def _note(self, text: str) -> str:
        for kind, number in self._made_already(text):
            self._taken[kind.name].add(number)
        for match in self._matches(text):
            self._places[match.kind.name] += 1
            self._values[match.kind.name, match.value] = None
        return text

    def _replaced(self, text: str) -> str:
        parts, at = [], 0
        for match in self._matches(text):
            made = self._pseudonym(match.kind, match.value)
            escaped = "%40" in text[match.start : match.end]
            parts += [text[at : match.start], made.replace("@", "%40") if escaped else made]
            at = match.end
        return "".join([*parts, text[at:]]) if at else text

    def _pseudonym(self, kind: Kind, value: str) -> str:
        if (kind.name, value) not in self._given:
            shape = kind.made(0)  # kinds of the same shape count together
            self._last[shape] += 1
            while self._last[shape] in self._taken[kind.name]:
                self._last[shape] += 1
            self._given[kind.name, value] = kind.made(self._last[shape])
        return self._given[kind.name, value]

    def _made_already(self, text: str) -> Iterator[tuple[Kind, int]]:
        for kind in self._kinds:
            for match in kind.own.finditer(text):
                number = 0
                for part in match[1].split("."):
                    number = number * kind.base + int(part, kind.base if kind.base == 16 else 10)
                yield kind, number

    def _found(self, text: str) -> Sequence[_Match]:
        """What is to be replaced, in order, and nothing twice. Pseudonyms and what was found are covered and the rest
        is looked at again: what stood beside them may be found only then, and would be the next time."""
        if len(text) >= 256 and _ENCODED.fullmatch(text):
            return ()
        covered = _covered(text, (match.span() for kind in self._kinds for match in kind.own.finditer(text)))
        found: list[_Match] = []
        for _ in range(_ROUNDS):
            more = [
                _Match(start, end, kind, text[start:end] if _COVER in value else value)
                for kind in self._kinds
                for start, end, value in kind.find(covered)
                if covered[start:end].strip(_COVER)
            ]
            if not more:
                break
            found += more
            covered = _covered(covered, ((match.start, match.end) for match in more))
        return tuple(_apart(text, found))

    def _in_text(self, text: str, visit: Visit) -> str:
        if text.lstrip()[:1] not in ("{", "[") or not _is_json(text):
            return visit(text)
        return _TOKEN.sub(lambda match: self._in_json(match[0], visit), text)

    def _in_json(self, token: str, visit: Visit) -> str:
        if token[0] == '"':
            said = json.loads(token, strict=False)
            kept = self._in_text(said, visit)
            return token if kept == said else json.dumps(whole(kept), ensure_ascii=token.isascii())
        kept = self._in_number(token, visit)
        return kept if kept == token or kept.isdigit() else json.dumps(kept)

    def _in_number(self, digits: str, visit: Visit) -> str:
        """A number is something else only as a whole: what stands within one is chance."""
        found = self._matches(digits)
        return visit(digits) if found and (found[0].start, found[0].end) == (0, len(digits)) else digits

    def _walk(self, value: Any, visit: Visit) -> Any:
        if isinstance(value, str):
            return self._in_text(value, visit)
        if isinstance(value, Mapping):
            return {self._in_text(name, visit): self._walk(each, visit) for name, each in value.items()}
        if isinstance(value, list):
            return [self._walk(each, visit) for each in value]
        if isinstance(value, tuple):
            return tuple(self._walk(each, visit) for each in value)
        if isinstance(value, int) and not isinstance(value, bool):
            kept = self._in_number(str(value), visit)
            return int(kept) if kept.isdigit() or kept == str(value) else kept
        return value


def pseudonymised(candidates: Iterable[Candidate], names: Pseudonyms) -> list[Candidate]:
    """The candidates as they may be written, their near duplicates and recorded calls too. All are learned first, so
    that `names.report()` is complete, and no pseudonym of theirs is given to something else."""
    kept = list(candidates)
    for candidate in kept:
        for each in (candidate, *candidate.merged):
            names.learn([getattr(each, name) for name in _SAID])
            for recording in each.recordings:
                names.learn([recording.arguments, recording.error, recording.task, bytes(recording.result).decode()])
    return [_pseudonymised(candidate, names) for candidate in kept]


def _pseudonymised(candidate: Candidate, names: Pseudonyms) -> Candidate:
    said: dict[str, Any] = {name: names.value(getattr(candidate, name)) for name in _SAID}
    merged = tuple(_pseudonymised(other, names) for other in candidate.merged)
    return replace(candidate, **said, merged=merged, recordings=_Recordings(candidate.recordings, names))


_SAID: Final = (
    "key", "opening", "system", "user_turns", "answer", "recorded", "info", "family", "user", "tags", "release",
    "labels", "feedback",
)  # fmt: skip
"""What an agent, a user or a client may have said."""


@dataclass(frozen=True, slots=True)
class _Recordings:
    """Recorded calls, each changed when it is asked for."""

    recorded: Iterable[Recording] = field(repr=False)
    names: Pseudonyms = field(repr=False)

    def __iter__(self) -> Iterator[Recording]:
        for each in self.recorded:
            yield msgspec.structs.replace(
                each,
                arguments=self.names.value(each.arguments),
                result=msgspec.Raw(self.names.text(bytes(each.result).decode()).encode()),
                error=self.names.value(each.error),
                task=self.names.value(each.task),
            )


def _covered(text: str, spans: Iterable[tuple[int, int]]) -> str:
    parts, at = [], 0
    for start, end in sorted(spans):
        parts += [text[at:start], _COVER * (end - max(start, at))]
        at = max(at, end)
    return "".join([*parts, text[at:]])


def _apart(text: str, found: Iterable[_Match]) -> list[_Match]:
    """The matches in order; those that overlap as one, of the kind of the longest."""
    apart: list[_Match] = []
    for match in sorted(found, key=lambda each: (each.start, -each.end)):
        last = apart[-1] if apart else None
        if last is None or match.start >= last.end:
            apart.append(match)
        elif match.end > last.end:
            longest = max(last, match, key=lambda each: each.end - each.start)
            apart[-1] = _Match(last.start, match.end, longest.kind, text[last.start : match.end])
    return apart


def _is_json(text: str) -> bool:
    try:
        load(text)
    except BadBody:
        return False
    return True
