"""A trajectory's conversations as samples: which threads, which of their branches, and what of them is trained.

A reply is trained once in a session: what two branches share is trained with the first of them, and only read in the
others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from drawbar.export.sample import Said, Sample, length
from drawbar.record.facts import Facts
from drawbar.threads import Thread
from drawbar.trajectory import Call, Node, Trajectory
from drawbar.wire.dialect import BadBody
from drawbar.wire.offered import Offered, offered, parallel_allowed


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a session is wanted."""

    all_threads: bool = False
    """Sub-agents, compactions and side calls too, not the main conversation alone."""
    branches: bool = False
    """Every branch of a conversation, not the one to its last answer alone."""


THE_MAIN_ANSWER: Final = Extent()


def samples(trajectory: Trajectory, facts: Facts, extent: Extent) -> Iterator[Sample]:
    """The samples of a session in which anything is to be trained."""
    made = {call.reply: call for call in trajectory.calls if _is_whole(call)}
    seen: set[bytes] = set()
    for thread in trajectory.threads if extent.all_threads else trajectory.threads[:1]:
        ends = leaves(trajectory, thread)
        for number, last in enumerate(ends if extent.branches else ends[-1:]):
            path = trajectory.path(last.reply)
            calls = [made.get(node.id) for node in path]
            trained = [call is not None and node.id not in seen for call, node in zip(calls, path, strict=True)]
            seen.update(node.id for node in path)
            if any(trained):
                yield Sample(
                    facts=facts,
                    said=[_said(node, call) for node, call in zip(path, calls, strict=True)],
                    trained=trained,
                    calls=[None if call is None else call.id for call in calls],
                    offered=tools_of(thread.calls),
                    parallel_tool_calls=parallel_allowed(last.request_envelope),
                    tokens=length(last.prompt_tokens, last.completion_tokens),
                    trained_tokens=length(
                        *(
                            call.completion_tokens
                            for call, own in zip(calls, trained, strict=True)
                            if call is not None and own
                        )
                    ),
                    thread=thread.name,
                    branch=number if extent.branches else 0,
                    trajectory=trajectory,
                )


def leaves(trajectory: Trajectory, thread: Thread) -> list[Call]:
    """The calls of a conversation after whose reply it did not go on, in their order."""
    whole = [call for call in thread.calls if _is_whole(call)]
    passed: set[bytes | None] = set()
    for call in whole:
        at = call.reply
        while at is not None and (node := trajectory.nodes.get(at)) is not None and node.parent not in passed:
            passed.add(node.parent)
            at = node.parent
    ends: dict[bytes | None, Call] = {call.reply: call for call in whole if call.reply not in passed}
    return list(ends.values())


def tools_of(calls: Sequence[Call]) -> Offered:
    """What a conversation's last call was offered that was offered anything."""
    for call in reversed(calls):
        if call.tools is not None:
            try:
                return offered(call.dialect, call.tools)
            except BadBody:
                break
    return Offered()


def _said(node: Node, call: Call | None) -> Said:
    """A message; a reply in the words in which its call was answered."""
    if call is None or call.reply_body is None:
        return Said(node.id, node.dialect, node.body, node.message)
    return Said(node.id, call.dialect, call.reply_body, call.message)


def _is_whole(call: Call) -> bool:
    return call.status == "answered" and call.reply is not None and call.message is not None
