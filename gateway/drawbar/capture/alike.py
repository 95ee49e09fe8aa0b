"""Candidates that are nearly the same task: which they are, and one of each kept. Knows candidates; texts are compared
in `drawbar.alike`.

Two candidates are the same task if they are in the same environment and

- what their users asked, the first request and all that was said later, is alike, and has the same numbers: another
  order number, another amount or another date is another task, however long the text around it;
- their system prompts are alike, and so is the conversation before the request, if there is any. These may differ in
  numbers: agents put the time of day and their own version there;
- they show the same images and files, if any, and where they were rollouts, their tasks had the same reference answer
  and the same `info`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from drawbar.alike import THRESHOLD, Texts, groups, linked, plain
from drawbar.capture.candidate import Candidate, words
from drawbar.ids import digest
from drawbar.task import ChatMessage
from drawbar.wire.tolerant import dump

Groups: TypeAlias = Callable[[Texts, float], list[list[int]]]

_NUMBER: Final = re.compile(r"[\w-]*\d[\w-]*")
_SOURCES: Final = {"correction": 3, "accepted": 2, "task": 1}


def merged(candidates: Sequence[Candidate], threshold: float = THRESHOLD) -> list[Candidate]:
    """One candidate of each task; the others are in its `merged`, so that counts and sources are kept.

    Kept is the one that somebody corrected; else one that somebody liked, else one with a reference answer of its own;
    of several the one with feedback, then the best reward, then the newest. All that it stands for are alike to it by
    `threshold` at least. What is kept stays in its order.

    Raises:
        ConfigurationError: a threshold that is not above 0 and at most 1.
    """
    ranked = sorted(range(len(candidates)), key=lambda at: preference(candidates[at]), reverse=True)
    found = _by_task([candidates[at] for at in ranked], threshold, groups)
    kept = {ranked[group[0]]: [candidates[ranked[at]] for at in group] for group in found}
    return [standing_for(group) for _, group in sorted(kept.items())]


def near_duplicates(candidates: Sequence[Candidate], threshold: float = THRESHOLD) -> list[list[int]]:
    """Positions of candidates that hang together as near duplicates; every candidate is in one group.

    Raises:
        ConfigurationError: a threshold that is not above 0 and at most 1.
    """
    return _by_task(candidates, threshold, linked)


def preference(candidate: Candidate) -> tuple[int, bool, float, float, str]:
    """The higher, the rather it is kept of several that are the same task."""
    return (
        _SOURCES.get(candidate.answer_source or "", 0),
        bool(candidate.feedback),
        float("-inf") if candidate.reward is None else candidate.reward,
        candidate.started,
        candidate.session,
    )


def standing_for(group: Sequence[Candidate]) -> Candidate:
    """The first of a group, with all others in its `merged`."""
    others = [each for candidate in group for each in (candidate, *candidate.merged)][1:]
    return replace(group[0], merged=tuple(replace(other, merged=()) for other in others))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What of a candidate is compared, and how."""

    said: str
    """All that its user asked: alike, and with the same numbers."""
    before: str
    """The conversation before the request: alike."""
    system: str
    """Alike."""
    fixed: bytes
    """Digest of what must be the same."""


def _by_task(candidates: Sequence[Candidate], threshold: float, grouped: Groups) -> list[list[int]]:
    asked = [_asked(candidate) for candidate in candidates]
    before = _numbered(linked([each.before for each in asked], threshold))
    system = _numbered(linked([each.system for each in asked], threshold))
    apart: dict[Hashable, list[int]] = defaultdict(list)
    for at, (candidate, each) in enumerate(zip(candidates, asked, strict=True)):
        numbers = frozenset(_NUMBER.findall(plain(each.said)))
        apart[candidate.environment, numbers, before[at], system[at], each.fixed].append(at)
    return sorted(
        [places[at] for at in group]
        for places in apart.values()
        for group in (grouped([asked[at].said for at in places], threshold) if len(places) > 1 else [[0]])
    )


def _numbered(groups: list[list[int]]) -> dict[int, int]:
    """The group that each position is in."""
    return {position: number for number, group in enumerate(groups) for position in group}


def _asked(candidate: Candidate) -> _Asked:
    turns = candidate.opening
    request = max((at for at, turn in enumerate(turns) if turn.get("role") == "user"), default=len(turns))
    before = [dump({**turn, "content": words(turn)}, sort=True) for turn in (*turns[:request], *turns[request + 1 :])]
    parts = [part for turn in (*turns, *candidate.user_turns) for part in _parts(turn)]
    fixed = [parts, dict(candidate.info), candidate.answer if candidate.answer_source == "task" else None]
    return _Asked(
        said="\n".join([candidate.request, *map(words, candidate.user_turns)]),
        before=b"\n".join(before).decode(),
        system=candidate.system or "",
        fixed=digest(dump(fixed, sort=True)),
    )


def _parts(turn: str | ChatMessage) -> Iterator[Any]:
    """What is no text of a message."""
    content = None if isinstance(turn, str) else turn.get("content")
    if isinstance(content, list):
        yield from (part for part in content if not (isinstance(part, Mapping) and "text" in part))
