"""Whether the calls of a session go on from each other: what breaks its conversations, as findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence, Set

from drawbar.record.findings import finding
from drawbar.threads import Thread
from drawbar.trajectory import Call, Finding

_TALKS = ("main", "sub_agent")
"""The kinds of threads that are conversations."""


def aside(threads: Sequence[Thread]) -> frozenset[str]:
    """The ids of the calls beside the conversations: titles, routers, summaries."""
    return frozenset(call.id for thread in threads if thread.kind == "side" for call in thread.calls)


def findings(threads: Sequence[Thread]) -> Iterator[Finding]:
    """More than one main conversation, history written anew, reasoning that was not sent back."""
    asked: set[bytes | None] = set()
    for thread in threads:
        first = thread.calls[0] if thread.calls else None
        if thread.kind == "main" and thread.name != "main" and first is not None and first.request not in asked:
            yield finding("several_roots", f"model call {first.seq + 1} begins another conversation", call=first.id)
        asked.update(call.request for call in thread.calls)
        if thread.kind in _TALKS:
            shorter = [
                each.calls[-1].seq for each in threads if each.kind == "compaction" and each.parent == thread.name
            ]
            yield from _rewritten(thread.calls, {_next(thread.calls, seq) for seq in shorter})
    lost = [call for thread in threads for call in thread.calls if call.edge == "without_reasoning"]
    if lost:
        yield finding("lost_reasoning", f"{len(lost)} calls go on without the reasoning before them", call=lost[0].id)


def _next(calls: Sequence[Call], seq: int) -> str | None:
    return next((call.id for call in calls if call.seq > seq), None)


def _rewritten(calls: Sequence[Call], shorter: Set[str | None]) -> Iterator[Finding]:
    """A reply told in other words, left out, or a way back to an earlier one past answers that were given since.

    What was not answered in full may be asked for again in any way, and what was made shorter (`shorter`: the calls
    right after a compaction) leaves things out.
    """
    by_id = {call.id: call for call in calls}
    since: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        before = by_id.get(call.follows or "")
        if before is None or call.id in shorter:
            continue
        where = f"model call {call.seq + 1} goes on from call {before.seq + 1}"
        passed = [other for other in since[before.id] if other.request != call.request]
        said = before.status == "answered" and before.message is not None and not before.message.is_empty
        if call.edge == "rewritten" and said:
            yield finding("rewritten_history", f"{where} with its reply in other words", call=call.id)
        elif call.edge == "none" and said and call.request != before.request:
            yield finding("rewritten_history", f"{where} without its reply", call=call.id)
        elif passed:
            yield finding("rewritten_history", f"{where}, past call {passed[-1].seq + 1}", call=call.id)
        if call.status == "answered":
            since[before.id].append(call)
