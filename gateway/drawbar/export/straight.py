"""Samples of sessions that are one straight conversation, each request going on from the reply before it: most are.

Of those only the messages on the way to the last answer are read, many sessions at once, and what many of them begin
with is read once. Whatever is not so plain is left to `branches`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from drawbar.export.sample import Said, Sample, length
from drawbar.record.facts import CallFacts, FactReader, Facts, NodeFacts
from drawbar.wire.dialect import BadBody
from drawbar.wire.offered import Offered, offered, parallel_allowed

_KEPT: Final = 4_096
"""Sets of tools and of settings that are kept from page to page, of each so many."""
_BEGINNING: Final = 3
"""Messages at a conversation's beginning that others are likely to begin with too."""


class _Straight(NamedTuple):
    """A session, its calls, and the messages on the way to its last reply."""

    facts: Facts
    calls: Sequence[CallFacts]
    path: Sequence[NodeFacts]
    replies: Sequence[CallFacts | None]
    """For each message on the way the call whose reply it is."""
    tools: tuple[str, bytes] | None
    """The last tools that were offered: their dialect, and the digest of their definitions."""


class StraightReader:
    """Reads samples, a page of sessions at a time. Not to be shared between threads."""

    def __init__(self, reader: FactReader, *, parallel: bool = False) -> None:
        """`parallel`: whether to look up if the model was allowed several tool calls at once."""
        self._reader = reader
        self._parallel = parallel
        self._nodes: dict[bytes, NodeFacts] = {}
        self._said: dict[bytes, Said] = {}
        self._offered: dict[tuple[str, bytes], Offered] = {}
        self._allowed: dict[bytes, bool | None] = {}

    def samples(self, page: Sequence[Facts]) -> Iterator[Sample]:
        """The samples of those of these sessions that are straight, in this order; each is made when it is asked for:
        a page's messages would not fit into the caches of a processor."""
        straight = list(self._straight(page))
        bodies = self._reader.blobs(set(self._unknown(straight)))
        for each in straight:
            yield self._sample(each, bodies)
        self._forget(straight)

    def _straight(self, page: Sequence[Facts]) -> Iterator[_Straight]:
        calls = self._reader.calls([facts.id for facts in page])
        likely = [
            (facts, its, its[-1].reply)
            for facts in page
            if (its := calls.get(facts.id)) is not None and all(map(_IS_PLAIN, its))
        ]
        leaves = [leaf for _, _, leaf in likely if leaf is not None]  # a plain call has a reply
        beginnings = [first for _, its, _ in likely if (first := its[0].request) is not None]
        about = 2 * sum(
            [len(its) for _, its, _ in likely]
        )  # a request's message, or the results it brings, and a reply
        paths = self._reader.paths(leaves, self._nodes, beginnings=beginnings, about=about)
        for (facts, its, _), path in zip(likely, paths, strict=True):
            if path is not None:
                given = {call.reply: call for call in its}
                replies = [given.get(node[0]) for node in path]
                if [call for call in replies if call is not None] == its:
                    yield _Straight(facts, its, path, replies, _tools(its))

    def _words(self, straight: _Straight) -> list[Said]:
        """The messages of a session, its own replies as it has them."""
        unpacked, path = self._reader.unpacked, straight.path
        said = [self._beginning(node) for node in path[:_BEGINNING]]
        ids, _, dialects, bodies = zip(*path, strict=True)
        said += map(Said, ids[_BEGINNING:], dialects[_BEGINNING:], unpacked.each(bodies[_BEGINNING:]))
        for place, call in enumerate(straight.replies):
            if call is not None and call.said_apart is not None:
                said[place] = Said(path[place][0], call.dialect, unpacked(call.said_apart))
        return said

    def _beginning(self, node: NodeFacts) -> Said:
        id, _, dialect, body = node
        known = self._said.get(id)
        if known is None:
            known = self._said[id] = Said(id, dialect, self._reader.unpacked(body))
        return known

    def _unknown(self, straight: Iterable[_Straight]) -> Iterator[bytes]:
        """The bodies that samples need beside messages, and that are not known yet."""
        for each in straight:
            if each.tools is not None and each.tools not in self._offered:
                yield each.tools[1]
            envelope = each.calls[-1].request_envelope
            if self._parallel and envelope is not None and envelope not in self._allowed:
                yield envelope

    def _sample(self, straight: _Straight, bodies: Mapping[bytes, bytes]) -> Sample:
        facts, calls, _, replies, tools = straight
        last = calls[-1]
        return Sample(
            facts=facts,
            said=self._words(straight),
            trained=[call is not None for call in replies],
            calls=[None if call is None else call.id for call in replies],
            offered=_NOTHING if tools is None else self._tools_of(tools, bodies),
            parallel_tool_calls=self._parallel_of(last, bodies) if self._parallel else None,
            tokens=length(last.prompt_tokens, last.completion_tokens),
            trained_tokens=length(*[call.completion_tokens for call in calls]),
        )

    def _tools_of(self, tools: tuple[str, bytes], bodies: Mapping[bytes, bytes]) -> Offered:
        found = self._offered.get(tools)
        if found is None:
            try:
                found = offered(tools[0], bodies.get(tools[1]))
            except BadBody:
                found = _NOTHING
            self._offered[tools] = found
        return found

    def _parallel_of(self, call: CallFacts, bodies: Mapping[bytes, bytes]) -> bool | None:
        envelope = call.request_envelope
        if envelope is None:
            return None
        if envelope not in self._allowed:
            self._allowed[envelope] = parallel_allowed(bodies.get(envelope))
        return self._allowed[envelope]

    def _forget(self, straight: Iterable[_Straight]) -> None:
        """All but what the next page is likely to need again."""
        self._nodes = {node[0]: node for each in straight for node in each.path[:_BEGINNING]}
        self._said = {id: said for id in self._nodes if (said := self._said.get(id)) is not None}
        for memory in (self._offered, self._allowed):
            if len(memory) > _KEPT:
                memory.clear()


_NOTHING: Final = Offered()
_IS_PLAIN: Final = attrgetter("plain")


def _tools(calls: Sequence[CallFacts]) -> tuple[str, bytes] | None:
    last = calls[-1]
    if last.tools is not None:
        return last.dialect, last.tools
    return next(((call.dialect, call.tools) for call in reversed(calls) if call.tools is not None), None)
