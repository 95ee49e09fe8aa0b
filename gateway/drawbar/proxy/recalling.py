"""What the store says of a session, taken into its memory: what it used, and what was said in it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import suppress
from typing import TYPE_CHECKING

from drawbar.record.replies import Reply
from drawbar.record.stitching import Place, Turn
from drawbar.wire import DIALECTS
from drawbar.wire.dialect import BadBody

if TYPE_CHECKING:
    from drawbar.sessions import Session
    from drawbar.trajectory import Call, Trajectory


def counted(session: Session, past: Trajectory, new: Sequence[Call]) -> None:
    """Add to a session what calls came to that it did not know of."""
    session.turns += sum(call.status == "answered" for call in new)
    session.tokens += sum((call.prompt_tokens or 0) + (call.completion_tokens or 0) for call in new)
    session.cost += sum(call.cost or 0.0 for call in new)
    session.calls = max([session.calls, *(call.seq + 1 for call in past.calls)])
    session.tool_calls = max([session.tool_calls, *(call.seq + 1 for call in past.tool_calls)])


def recalled(session: Session, past: Trajectory, new: Set[str]) -> None:
    """Let requests go on from what was said before, as far as it is new here."""
    turns: dict[str, Turn[Session]] = {}
    for call in past.calls:
        if call.id not in new:
            turns |= {turn.call: turn for turn in session.tree.same(call.request) if turn.call == call.id}
            continue
        turn = turns[call.id] = Turn(call.id, session, call.request, call.thread, open=False)
        if call.status != "started":  # such a one may still be answered, by another gateway
            session.known.add(call.id)
        turn.answered = call.status == "answered"
        session.tree.add(turn, Place(turns.get(call.follows or "")))
        if call.reply is not None and call.reply_body is not None:
            session.tree.replied(turn, call.reply, DIALECTS.get(call.dialect), call.reply_body)
        asked = past.nodes.get(call.request or b"")
        if asked is not None and asked.dialect in DIALECTS:
            last = DIALECTS[asked.dialect], asked.body
            turn.begun = last if asked.message.role == "assistant" else None
            if not turn.answered:
                session.tree.broke_off(turn, asked.parent, *last)
        node = past.nodes.get(call.reply or b"")
        if node is not None and call.response_envelope is not None:
            with suppress(BadBody):
                names = DIALECTS[call.dialect].names(call.response_envelope)
                session.replies.note(names, Reply(node.id, node.depth))
