"""The bookkeeping of one model call: what becomes of it as rows, and what it adds to its session. No I/O."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from drawbar.ids import digest, new_id
from drawbar.record.placing import Placed, instructions, placed
from drawbar.record.replies import Reply
from drawbar.record.rows import AnswerRow, BlobRow, CallRow, Row
from drawbar.record.stitching import Turn, begins_reply
from drawbar.wire.dialect import BadBody, Request, Response, Usage
from drawbar.wire.identity import Identity
from drawbar.wire.notes import with_notes
from drawbar.wire.response_id import response_id
from drawbar.wire.route import Route

if TYPE_CHECKING:
    from drawbar.proxy.keys import Holder
    from drawbar.proxy.models import Target
    from drawbar.proxy.token_server import Asked
    from drawbar.sessions import Session
    from drawbar.wire.token_view import Tokens

_log = logging.getLogger(__name__)
NO_USAGE: Final = Usage()


class Call:
    """One model call, from its intent to its end."""

    def __init__(self, session: Session, route: Route, epoch: int, identity: Identity | None = None) -> None:
        """`epoch` is the recorder's: a graph whose memory is of an older one may remember what was never stored.
        `identity`: what the request says of who asks."""
        if session.epoch != epoch:
            session.graph.drop()
            session.epoch = epoch
        self.session = session
        self.route = route
        self.dialect = route.dialect
        self.request: Request | None = None
        self.target: Target | None = None
        self.first_byte: float | None = None
        self.attempts = 0
        self.lost: Sequence[str] = ()
        """What of the request its upstream could not be told, in words."""
        self.continued: Reply | None = None
        """The earlier reply that the request goes on from by its name."""
        self.changes: Mapping[str, Any] = {}
        """What is changed in the request whoever is asked: `Dialect.patch` takes it."""
        self.wants_tokens = False
        """Token ids and log probabilities are wanted in its record."""
        self.tokens: Asked | None = None
        """What became of that wish."""
        self.told: Tokens | None = None
        """What a provider told of tokens that the answer does not carry, because it was translated."""
        self._last: tuple[bytes | None, bytes] | None = None
        """The request's last message, and the node that it follows."""
        self.holder: Holder | None = None
        """Whose key it is charged to."""
        self.counted = False
        """Whether it became a turn."""
        self.row = CallRow(
            id=new_id("call"),
            session=session.id,
            seq=session.next_call(),
            dialect=route.dialect.name,
            path=route.path,
            model="",
            started=time.time(),
            thread=identity.thread if identity is not None else None,
            parent_thread=identity.parent if identity is not None else None,
            purpose=identity.purpose if identity is not None else None,
        )
        self.turn: Turn[Session] = Turn(self.row.id, session, thread=self.row.thread)
        session.known.add(self.row.id)

    def begin(self, request: Request, there: Placed | None = None) -> list[Row]:
        """Take up the request; the rows of the intent. `there`: where it stands in the session's graph, if that was
        looked up before. Raises `BadBody` where a message cannot be read."""
        self.request = request
        session, graph = self.session, self.session.graph
        there = there or placed(self.dialect, request, graph, session.replies)
        self.continued = there.known
        place = session.tree.find(self.dialect, there.path, there.messages, self.turn.thread)
        self.turn.leaf = there.leaf
        if there.messages:
            self._last = there.path[-2] if len(there.path) > 1 else None, there.messages[-1]
            if begins_reply(self.dialect, there.messages[-1]):
                self.turn.begun = self.dialect, there.messages[-1]
        session.tree.add(self.turn, place)
        found: list[Row] = list(there.rows)
        envelope, blobs = graph.blob(request.envelope)
        found += blobs
        tools = None
        if request.tools is not None:
            tools, blobs = graph.blob(request.tools)
            found += blobs
        self.row = msgspec.structs.replace(
            self.row,
            model=request.model,
            request=there.leaf,
            tools=tools,
            request_envelope=envelope,
            streamed=request.stream,
            follows=place.follows.call if place.follows is not None else None,
            edge=place.edge,
        )
        found.append(self.row)
        return self._and_session(found)

    def refused(self, status: int, cause: str, error: str, body: bytes | None = None) -> list[Row]:
        """The rows of a call that no upstream was asked for; `body` where the request could not be read."""
        rows: list[Row] = []
        name = self.row.request_envelope
        if body is not None:
            name, blobs = self.session.graph.blob(body)
            rows += blobs
        self.row = msgspec.structs.replace(
            self.row,
            status="refused",
            http_status=status,
            cause=cause,
            error=error,
            request_envelope=name,
            ended=time.time(),
        )
        self._over(False)
        if self.session.live:
            self.session.trouble = cause
        return self._and_session([*rows, self.row])

    def answered(self, response: Response, status: int) -> list[Row]:
        """The rows of a complete answer; it is a turn from now on."""
        rows = self._end(response, status="answered", http_status=status, cause=None, error=None)
        self._count_turn()
        limits = self.session.limits
        if limits.cost is not None and self.row.cost is None:
            _warn_of_blind_limit(self.row.upstream, "cost")
        if limits.tokens is not None and self.row.prompt_tokens is None:
            _warn_of_blind_limit(self.row.upstream, "tokens")
        return rows

    def ended_badly(
        self,
        kind: str,
        cause: str,
        error: str,
        *,
        http_status: int | None,
        response: Response | None,
        seen: bytes | None,
    ) -> list[Row]:
        """The rows of a call that came to nothing or to a part of an answer. `kind`: failed | abandoned.

        `seen`: what came of an answer that cannot be read.
        """
        return self._end(response, status=kind, http_status=http_status, cause=cause, error=error, seen=seen)

    def taken_up(self) -> list[Row]:
        """The rows once a retry was given the answer that its first client did not wait for."""
        self._count_turn()
        self.row = msgspec.structs.replace(self.row, status="answered", cause=None, error=None)
        self.turn.answered = True
        return self._and_session([self.row])

    def _count_turn(self) -> None:
        if not self.counted:
            self.counted = True
            self.session.turns += 1

    def _end(
        self,
        response: Response | None,
        *,
        status: str,
        http_status: int | None,
        cause: str | None,
        error: str | None,
        seen: bytes | None = None,
    ) -> list[Row]:
        graph, rows = self.session.graph, list[Row]()
        self._over(status == "answered")
        reply = reply_body = envelope = None
        if response is not None and response.message is not None:
            try:
                reply, nodes, reply_body = graph.reply(self.dialect, self.row.request, response.message)
                rows += nodes
                self._name(response, reply)
                self.session.replied(self.turn, reply, self.dialect, response.message)
            except BadBody:
                seen = seen or response.message
        kept = seen if seen is not None else self._envelope(response)
        if kept is not None:
            envelope = digest(kept)  # it comes once: nothing is gained by remembering it
            rows.append(BlobRow(digest=envelope, body=kept))
        usage = response.usage if response is not None else NO_USAGE
        cost = self._account(usage)
        self.row = msgspec.structs.replace(
            self.row,
            upstream=self.target.label if self.target is not None else "",
            reply=reply,
            reply_body=reply_body,
            response_envelope=envelope,
            status=status,
            http_status=http_status,
            cause=cause,
            error=error,
            finish=response.finish if response is not None else None,
            attempts=self.attempts,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cost=cost,
            first_byte=self.first_byte,
            ended=time.time(),
        )
        rows.append(self.row)
        rows += self._called(response)
        if self.holder is not None:
            rows += self.holder.charge((usage.prompt_tokens or 0) + (usage.completion_tokens or 0), cost or 0.0)
        if cause not in ("client_left", "cancelled"):  # the agent's own doing, or ours: no failure
            self.session.trouble = cause
        return self._and_session(rows)

    def _over(self, answered: bool) -> None:
        """Let later calls know whether this one came to something."""
        self.turn.open, self.turn.answered = False, answered
        if not answered and self._last is not None:
            before, last = self._last
            self.session.tree.broke_off(self.turn, before, self.dialect, last)

    def _name(self, response: Response, reply: bytes) -> None:
        """Let later requests go on from this reply by its name."""
        if response.names and self.request is not None:
            known = self.continued
            opening = self.request.standing if known is None else known.opening
            said = Reply(reply, self.session.graph.depth(reply), opening, instructions(self.request))
            self.session.replies.note(response.names, said)

    def _called(self, response: Response | None) -> list[Row]:
        """Let whoever knows only what the provider called its answer find this call."""
        name = response_id(response.envelope) if response is not None and self.session.row.run is None else None
        return [] if name is None else [AnswerRow(name=name, call=self.row.id, session=self.row.session)]

    def _envelope(self, response: Response | None) -> bytes | None:
        """The answer's other fields; among them, what a translation lost and what became of the wish for tokens."""
        notes: dict[str, Any] = {"lost": list(self.lost)} if self.lost else {}
        if self.tokens is not None:
            notes["tokens"] = self.tokens
        if self.told is not None:
            notes["told"] = asdict(self.told)
        return None if response is None else with_notes(response.envelope, notes)

    def tell_tokens(self, tokens: Tokens | None) -> None:
        """What a provider told of tokens that the answer does not carry."""
        self.told = tokens

    def _and_session(self, rows: list[Row]) -> list[Row]:
        """The row of a live session is written with its calls', whenever it is new or has changed."""
        session = self.session
        session.touched = self.row.ended or self.row.started
        if session.unwritten:
            session.unwritten = False
            rows.insert(0, session.row)
        return rows

    def _account(self, usage: Usage) -> float | None:
        """Add what the call took to its session; its cost."""
        session = self.session
        prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
        session.tokens += prompt + completion
        cost = usage.cost
        if cost is None and self.target is not None and usage.prompt_tokens is not None:
            cost = self.target.upstream.cost(self.target.model, prompt, usage.cached_tokens or 0, completion)
        session.cost += cost or 0.0
        return cost


@cache
def _warn_of_blind_limit(upstream: str, limit: str) -> None:
    """Once for each; a limit that sees nothing must not pass for one that holds."""
    _log.warning("The limit of %s does not see the calls to %s, which tells of none.", limit, upstream)
