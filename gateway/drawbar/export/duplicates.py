"""Sessions of which another stands for the same: exactly, by the graph of messages, and nearly, by MinHash.

Two are nearly the same if all that was said in them but for instructions is alike, and what the model said of it, too:
long questions do not make two answers the same, nor do short answers to different questions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence, Set
from typing import Final

from drawbar.alike import groups
from drawbar.export.sample import Sample
from drawbar.export.sampling import Sampler
from drawbar.export.survey import Seen
from drawbar.record.facts import FactReader
from drawbar.wire.message import Message, Text, ToolResult, ToolUse

_PAGE: Final = 64
_KEPT: Final = 1024
"""Texts that are kept for the next comparison."""


def ranked(seen: Sequence[Seen]) -> list[Seen]:
    """The one first that is kept rather than the others: what people said something of, then the higher reward, then
    the older."""
    return sorted(seen, key=lambda each: (not each.noted, -(each.reward if each.reward is not None else float("-inf"))))


def distinct(seen: Sequence[Seen], *, by_reward: bool) -> list[Seen]:
    """Of those in which the same was said one, in the order that they had. `by_reward`: only where the reward is the
    same too."""
    first: dict[Hashable, str] = {}
    for each in ranked(seen):
        first.setdefault((each.words, _worth(each, by_reward)), each.id)
    kept = set(first.values())
    return [each for each in seen if each.id in kept]


def unlike(
    seen: Sequence[Seen], read: Callable[[Sequence[str]], dict[str, Sequence[Sample]]], threshold: float, *,
    by_reward: bool,
) -> list[Seen]:  # fmt: skip
    """Of those in which nearly the same was said one, in the order that they had. `read`: the samples of sessions."""
    order = ranked(seen)
    ids = [each.id for each in order]
    kept: set[str] = set()
    for group in groups(_Texts(ids, read, _all_said), threshold):
        own = [order[at] for at in group]
        inner = [[0]] if len(own) == 1 else groups(_Texts([each.id for each in own], read, _own_words), threshold)
        for alike in inner:
            first = {_worth(own[at], by_reward): own[at].id for at in reversed(alike)}
            kept.update(first.values())
    return [each for each in seen if each.id in kept]


def _worth(seen: Seen, by_reward: bool) -> Hashable:
    return (seen.reward, seen.labels) if by_reward else None


class SampleReader:
    """Reads the samples of sessions by id. Not to be shared between threads."""

    def __init__(self, facts: FactReader, sampler: Sampler) -> None:
        self._facts = facts
        self._sampler = sampler

    def __call__(self, ids: Sequence[str]) -> dict[str, Sequence[Sample]]:
        return {read.facts.id: read.samples for read in self._sampler.read(self._facts.sessions(ids), {})}


class _Texts:
    """A text of each session. Read a page at a time where they are asked for in order, else one by one."""

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[Sequence[str]], dict[str, Sequence[Sample]]],
        text: Callable[[Sequence[Sample]], str],
    ) -> None:
        self._ids = ids
        self._read = read
        self._text = text
        self._texts: OrderedDict[int, str] = OrderedDict()
        self._asked = -1

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, position: int, /) -> str:
        if position not in self._texts:
            size = _PAGE if position == self._asked + 1 else 1
            ids = self._ids[position : position + size]
            read = self._read(ids)
            for place, id in enumerate(ids, position):
                self._texts[place] = self._text(read.get(id, ()))
            while len(self._texts) > _KEPT:
                self._texts.popitem(last=False)
        self._asked = position
        return self._texts[position]


def _all_said(samples: Sequence[Sample]) -> str:
    return "\n".join(text for sample in samples for text in _texts(sample, {"user", "assistant", "tool"}))


def _own_words(samples: Sequence[Sample]) -> str:
    return "\n".join(text for sample in samples for text in _texts(sample, {"assistant"}))


def _texts(sample: Sample, roles: Set[str]) -> Iterator[str]:
    for message in sample.messages:
        if message.role in roles:
            yield from _words(message)


def _words(message: Message) -> Iterator[str]:
    for block in message.blocks:
        if isinstance(block, Text | ToolResult):
            yield block.text
        elif isinstance(block, ToolUse):
            yield f"{block.name} {block.raw}"
