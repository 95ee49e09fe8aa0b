"""Samples of sessions that are one straight conversation, each request going on from the reply before it: most are.

Of those only the messages on the way to the last answer are read, many sessions at once, and what many of them begin
with is read once. Whatever is not so plain is left to `branches`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from drawbar.export.sample import Said, Sample, length
from drawbar.ids import digest
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
    path: Sequence[bytes]
    replies: Sequence[CallFacts | None]
    """For each message on the way the call whose reply it is."""


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

    def samples(self, page: Sequence[Facts]) -> dict[str, Sample]:
        """The samples of those of these sessions that are straight, by session."""
        straight = list(self._straight(page))
        said = [[self._message(id) for id in each.path] for each in straight]
        apart = dict(self._said_apart(straight, said))
        bodies = self._reader.blobs({*(body for body, _ in apart.values()), *self._unknown(straight)})
        for (messages, place), (body, node) in apart.items():
            if body in bodies:
                said[messages][place] = Said(node, said[messages][place].dialect, bodies[body])
        found = {
            each.facts.id: self._sample(each, messages, bodies) for each, messages in zip(straight, said, strict=True)
        }
        self._forget(straight)
        return found

    def _straight(self, page: Sequence[Facts]) -> Iterator[_Straight]:
        calls = self._reader.calls([facts.id for facts in page])
        likely = {id: its for id, its in calls.items() if all(map(_is_plain, its))}
        leaves = [leaf for its in likely.values() if (leaf := its[-1].reply) is not None]
        beginnings = [first for its in likely.values() if (first := its[0].request) is not None]
        about = 2 * sum(map(len, likely.values()))  # a request's message, or the results that it brings, and a reply
        self._nodes.update(self._reader.nodes(leaves, self._nodes, beginnings=beginnings, about=about))
        for facts in page:
            its = likely.get(facts.id)
            if its is not None and (path := self._path(its)) is not None:
                given = {call.reply: call for call in its}
                yield _Straight(facts, its, path, [given.get(id) for id in path])

    def _path(self, calls: Sequence[CallFacts]) -> list[bytes] | None:
        """The messages up to the last reply, if all replies before it are among them, in order."""
        path: list[bytes] = []
        at = calls[-1].reply
        while at is not None:
            node = self._nodes.get(at)
            if node is None:
                return None
            path.append(at)
            at = node[1]
        path.reverse()
        on_the_way: Iterator[bytes | None] = iter(path)
        return path if all(call.reply in on_the_way for call in calls) else None

    def _message(self, id: bytes) -> Said:
        known = self._said.get(id)
        if known is None:
            _, _, dialect, body = self._nodes[id]
            known = self._said[id] = Said(id, dialect, self._reader.unpacked(body))
        return known

    def _said_apart(
        self, straight: Sequence[_Straight], said: Sequence[Sequence[Said]]
    ) -> Iterator[tuple[tuple[int, int], tuple[bytes, bytes]]]:
        """Replies that were first said by another session, perhaps after other thoughts: the place of each, the name
        under which its own words would lie, and its node."""
        for number, (each, messages) in enumerate(zip(straight, said, strict=True)):
            for place, call in enumerate(each.replies):
                if call is not None and (own := call.reply_body) is not None and digest(messages[place].body) != own:
                    yield (number, place), (own, messages[place].node)

    def _unknown(self, straight: Iterable[_Straight]) -> Iterator[bytes]:
        """The bodies that samples need beside messages, and that are not known yet."""
        for each in straight:
            tools, envelope = _tools(each.calls), each.calls[-1].request_envelope
            if tools is not None and tools not in self._offered:
                yield tools[1]
            if self._parallel and envelope is not None and envelope not in self._allowed:
                yield envelope

    def _sample(self, straight: _Straight, said: Sequence[Said], bodies: Mapping[bytes, bytes]) -> Sample:
        facts, calls, _, replies = straight
        return Sample(
            facts=facts,
            said=said,
            trained=[call is not None for call in replies],
            calls=[None if call is None else call.id for call in replies],
            offered=self._tools_of(calls, bodies),
            parallel_tool_calls=self._parallel_of(calls[-1], bodies),
            tokens=length(calls[-1].prompt_tokens, calls[-1].completion_tokens),
            trained_tokens=length(*[call.completion_tokens for call in calls]),
        )

    def _tools_of(self, calls: Sequence[CallFacts], bodies: Mapping[bytes, bytes]) -> Offered:
        key = _tools(calls)
        if key is None:
            return _NOTHING
        found = self._offered.get(key)
        if found is None:
            try:
                found = offered(key[0], bodies.get(key[1]))
            except BadBody:
                found = _NOTHING
            self._offered[key] = found
        return found

    def _parallel_of(self, call: CallFacts, bodies: Mapping[bytes, bytes]) -> bool | None:
        envelope = call.request_envelope
        if not self._parallel or envelope is None:
            return None
        if envelope not in self._allowed:
            self._allowed[envelope] = parallel_allowed(bodies.get(envelope))
        return self._allowed[envelope]

    def _forget(self, straight: Iterable[_Straight]) -> None:
        """All but what the next page is likely to need again."""
        kept = dict.fromkeys(id for each in straight for id in each.path[:_BEGINNING])
        self._nodes = {id: self._nodes[id] for id in kept}
        self._said = {id: said for id in kept if (said := self._said.get(id)) is not None}
        for memory in (self._offered, self._allowed):
            if len(memory) > _KEPT:
                memory.clear()


_NOTHING: Final = Offered()


def _is_plain(call: CallFacts) -> bool:
    whole = call.status == "answered" and call.reply is not None
    return whole and call.thread is None and call.purpose in (None, "main")


def _tools(calls: Sequence[CallFacts]) -> tuple[str, bytes] | None:
    """The last tools that were offered: their dialect, and the digest of their definitions."""
    last = calls[-1]
    if last.tools is not None:
        return last.dialect, last.tools
    return next(((call.dialect, call.tools) for call in reversed(calls) if call.tools is not None), None)
