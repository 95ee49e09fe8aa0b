"""The conversations of one session, told apart: the main one, sub-agents, compactions, and calls aside.

What agents say of a call (its thread, its purpose) is believed. Where they say nothing, what was said tells: a
sub-agent begins with words of the tool use that started it; what a compaction answered stands at the beginning of a
conversation that goes on; a call aside offers no tools, and nothing goes on from it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from drawbar.trajectory import Call, Node
    from drawbar.wire.message import Message

Kind: TypeAlias = Literal["main", "sub_agent", "compaction", "side"]

_OPENING: Final = 4
"""Messages at a conversation's beginning that are looked at."""
_TELLING: Final = 12
"""Characters of a line, or of a whole text, that are not said twice by accident in one session."""
_LATELY: Final = 64
"""Calls that are looked at for the beginning of a conversation."""
_LABELS: Final = {"main": "conversation", "sub_agent": "sub-agent", "compaction": "compaction", "side": "side call"}


@dataclass(frozen=True, slots=True)
class Thread:
    """One conversation of a session."""

    name: str
    """`main`, or its kind and number: `sub-agent 1`."""
    kind: Kind
    """main | sub_agent | compaction | side (a title, a router, a summary for the user)"""
    calls: Sequence[Call]
    """Its model calls, in order; those that failed too."""
    parent: str | None = None
    """The name of the thread that it was made for."""
    tool_use_id: str | None = None
    """The model's tool call that started it, if it is a sub-agent and one is known to have."""


@dataclass(slots=True, eq=False)
class _Draft:
    kind: Kind
    calls: list[Call] = field(default_factory=list)
    parent: _Draft | None = None
    tool_use_id: str | None = None


def threads(calls: Sequence[Call], nodes: Mapping[bytes, Node]) -> tuple[Thread, ...]:
    """The conversations in the order in which they began, the main one first."""
    drafts = _Sorting(calls, nodes).drafts
    counts: Counter[str] = Counter()
    names: dict[int, str] = {}
    for draft in drafts:
        counts[draft.kind] += 1
        first_main = draft.kind == "main" and counts["main"] == 1
        names[id(draft)] = "main" if first_main else f"{_LABELS[draft.kind]} {counts[draft.kind]}"
    made = [
        Thread(
            names[id(draft)],
            draft.kind,
            tuple(draft.calls),
            names[id(draft.parent)] if draft.parent is not None else None,
            draft.tool_use_id,
        )
        for draft in drafts
    ]
    return tuple(sorted(made, key=lambda thread: thread.name != "main"))


class _Sorting:
    """Sorts calls into conversations, one after the other."""

    def __init__(self, calls: Sequence[Call], nodes: Mapping[bytes, Node]) -> None:
        self._nodes = nodes
        self._by_id = {call.id: call for call in calls}
        self._anew = {call.id for call in calls if self._is_anew(call)}
        self._followers = Counter(call.follows for call in calls if call.id not in self._anew)
        self._of: dict[str, _Draft] = {}
        self._named: dict[str, _Draft] = {}
        self._tools = any(call.tools is not None for call in calls)
        self._said: deque[Call] = deque(maxlen=_LATELY)
        self._lately: deque[Call] = deque(maxlen=_LATELY)
        self._started: set[tuple[str, str]] = set()
        self._results: dict[str, str] | None = None
        self.drafts: list[_Draft] = []
        for call in calls:
            draft = self._draft(call)
            draft.calls.append(call)
            self._of[call.id] = draft
            self._lately.append(call)
            if call.message is not None:
                self._said.append(call)

    @property
    def _main(self) -> _Draft | None:
        return next((draft for draft in self.drafts if draft.kind == "main"), None)

    def _new(self, kind: Kind, parent: _Draft | None = None, tool_use_id: str | None = None) -> _Draft:
        draft = _Draft(kind, parent=parent, tool_use_id=tool_use_id)
        self.drafts.append(draft)
        return draft

    def _draft(self, call: Call) -> _Draft:
        """The conversation that a call belongs to."""
        before = self._of.get(call.follows or "")
        if call.purpose in ("compaction", "side"):
            return self._new("compaction" if call.purpose == "compaction" else "side", self._home(call, before))
        if call.thread is not None:
            return self._of_thread(call)
        if before is None or call.id in self._anew:
            return self._root(call, before)
        if call.purpose == "sub_agent" and before.kind != "sub_agent":
            return self._sub_agent(call, before)
        if before.kind == "main" and self._is_aside(call):
            return self._new("side", before)
        return before

    def _home(self, call: Call, before: _Draft | None) -> _Draft | None:
        return before or self._named.get(call.thread or "") or self._main

    def _of_thread(self, call: Call) -> _Draft:
        """A thread that its agent names: a sub-agent."""
        assert call.thread is not None
        known = self._named.get(call.thread)
        if known is None:
            known = self._sub_agent(call, self._named.get(call.parent_thread or "") or self._main)
            self._named[call.thread] = known
        return known

    def _is_anew(self, call: Call) -> bool:
        """Whether a call follows another without what that one was asked with: all of it was written anew."""
        before = self._by_id.get(call.follows or "")
        if before is None or call.edge != "rewritten":
            return False
        at = call.request
        while at is not None and at != before.request and (node := self._nodes.get(at)) is not None:
            at = node.parent
        return at != before.request

    def _root(self, call: Call, before: _Draft | None) -> _Draft:
        """A call that goes on from none, or from one of `before` in words that are new from their beginning."""
        alike = [c for c in self._lately if c.request == call.request and c.request is not None]
        if alike and alike[-1].status != "answered":
            return self._of[alike[-1].id]  # asked again
        if call.purpose == "sub_agent":
            return self._sub_agent(call, self._main)
        opening = self._opening(call)
        summary = self._taken_up(opening)
        if summary is not None:
            return self._continued(summary)
        if (told := self._retold(opening)) is not None:
            return told
        if before is not None:
            return before
        starter = self._starter(opening, call)
        if starter is not None:
            return self._new("sub_agent", self._of[starter[0].id], starter[1])
        if alike:
            return self._of[alike[-1].id]
        if self._tools and call.tools is None and not self._followers[call.id]:
            return self._new("side", self._main)
        return self._new("main")

    def _sub_agent(self, call: Call, parent: _Draft | None) -> _Draft:
        starter = self._starter(self._opening(call), call)
        if starter is None:
            return self._new("sub_agent", parent)
        return self._new("sub_agent", self._of[starter[0].id], starter[1])

    def _is_aside(self, call: Call) -> bool:
        """Whether a call offers no tools although the one before it did, nothing follows it, and the conversation went
        on without it."""
        before = self._by_id[call.follows or ""]
        alone = call.tools is None and before.tools is not None and not self._followers[call.id]
        return alone and self._followers[before.id] > 1

    def _opening(self, call: Call) -> list[Message]:
        path: list[Message] = []
        at = call.request
        while at is not None and (node := self._nodes.get(at)) is not None:
            path.append(node.message)
            at = node.parent
        return [message for message in reversed(path) if message.role != "system"][:_OPENING]

    def _taken_up(self, opening: Sequence[Message]) -> Call | None:
        """The call whose answer others than the model say at a new conversation's beginning: what went before was made
        shorter."""
        texts = [message.text for message in opening if message.role != "assistant"]
        for call in reversed(self._said):
            assert call.message is not None
            if not self._followers[call.id] and any(_carries(text, call.message.text) for text in texts):
                return call
        return None

    def _retold(self, opening: Sequence[Message]) -> _Draft | None:
        """The conversation whose answers stand at a new one's beginning, as the model's: it was written anew, or a call
        aside answered with what is to stand in its place."""
        answers = {message.text.strip() for message in opening if message.role == "assistant" and message.text.strip()}
        for call in reversed(self._said):
            if call.message is not None and call.message.text.strip() in answers:
                draft = self._of[call.id]
                return self._continued(call) if draft.kind in ("side", "compaction") else draft
        return None

    def _continued(self, summary: Call) -> _Draft:
        """The conversation that a summary was made for. The summary's own call becomes a compaction, unless it offered
        tools and is no more than a turn of a history that was written anew."""
        draft = self._of[summary.id]
        if draft.kind in ("side", "compaction"):
            draft.kind = "compaction"
            return draft.parent or self._main or self._new("main")
        if draft.kind == "main" and not self._followers[summary.id] and len(draft.calls) > 1:
            draft.calls.remove(summary)
            made = self._new("compaction", draft)
            made.calls.append(summary)
            self._of[summary.id] = made
        return draft

    def _starter(self, opening: Sequence[Message], call: Call) -> tuple[Call, str] | None:
        """The tool use in whose arguments a conversation's first words stand, and the call that made it. Of several
        that say the same, the one whose result names the thread, else one that has started nothing yet."""
        words = [text for message in opening if message.role == "user" if (text := message.text.strip())]
        found = [
            (earlier, use.id)
            for earlier in reversed(self._said)
            if earlier.message is not None
            for use in earlier.message.tool_uses
            if any(len(text) >= _TELLING and text in word for text in _texts(use.arguments) for word in words)
        ]
        fresh = [(earlier, id) for earlier, id in found if (earlier.id, id) not in self._started]
        starter = self._telling(fresh, call.thread) or next(iter(fresh or found), None)
        if starter is not None:
            self._started.add((starter[0].id, starter[1]))
        return starter

    def _telling(self, uses: Sequence[tuple[Call, str]], thread: str | None) -> tuple[Call, str] | None:
        """Of tool uses that may have started a thread, the one whose result names it."""
        if thread is None or len(uses) < 2:
            return None
        if self._results is None:
            results = (result for node in self._nodes.values() for result in node.message.tool_results)
            self._results = {result.tool_use_id: result.text for result in results}
        return next((use for use in uses if thread in self._results.get(use[1], "")), None)


def _carries(text: str, said: str) -> bool:
    """Whether a text holds what was said: all of it, or a whole line that says something."""
    lines: Iterable[str] = (line.strip() for line in said.splitlines())
    return any(len(line) >= 2 * _TELLING and line in text for line in lines) or (
        len(said.strip()) >= _TELLING and said.strip() in text and said.strip() != text.strip()
    )


def _texts(value: Any) -> Iterator[str]:
    """The strings in a tool use's arguments."""
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
