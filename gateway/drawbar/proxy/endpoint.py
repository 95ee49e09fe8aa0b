"""The model side's front door: one request in a dialect, for a session that is already known."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from drawbar.errors import StoreError
from drawbar.proxy.admission import Admitted
from drawbar.proxy.call import Call
from drawbar.proxy.client import JSON, BodyTooLarge, Client, ClientGone
from drawbar.proxy.flight import LIVE_KEPT, Flight, Flights, Outlet
from drawbar.proxy.headers import NO_RETRY, client_keys, scope_of, status_of_end, upstream_headers
from drawbar.proxy.keys import Holder
from drawbar.proxy.live import LiveSessions
from drawbar.proxy.models import Models, Target
from drawbar.proxy.policy import under_policy
from drawbar.proxy.relay import Relay
from drawbar.proxy.settings import Settings
from drawbar.proxy.upstream import UpstreamError
from drawbar.record.placing import Placed
from drawbar.record.rows import Row
from drawbar.sessions import Session
from drawbar.wire.dialect import BadBody, Dialect, Request
from drawbar.wire.identity import read_identity
from drawbar.wire.labels import read_labels
from drawbar.wire.route import Route

if TYPE_CHECKING:
    from drawbar.record.recorder import Recorder
    from drawbar.record.store import Store

_log = logging.getLogger(__name__)
_RETRY_MARK: Final = b"x-stainless-retry-count"


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request as a call of its session."""

    call: Call
    body: bytes
    request: Request | None
    """None where it cannot be read."""
    there: Placed | None
    trouble: str | None
    """Why it cannot be read."""


@dataclass(slots=True)
class Alarms:
    """What somebody should look at."""

    unrecorded: int = 0
    """Answers (and intents) that could not be recorded when they came."""


class ModelSide:
    """Answers model requests and records them."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        models: Models,
        settings: Settings,
        live: LiveSessions,
        before: ModelSide | None = None,
    ) -> None:
        """`before`: the one that this one takes the place of, with other models or settings. What it has under way it
        ends by itself."""
        self.store = store
        self.live = live
        self.recorder = recorder
        self.models = models
        self.settings = settings
        self._live_flights: Flights = before._live_flights if before is not None else Flights(LIVE_KEPT)
        self.alarms: Alarms = before.alarms if before is not None else Alarms()

    @property
    def unrecorded(self) -> int:
        """Answers that were given although they could not be recorded (`recording="best-effort"`), and those that were
        not given for that (`required`)."""
        return self.alarms.unrecorded

    async def complete(self, who: Admitted, route: Route, client: Client) -> None:
        """One request that makes a turn, in the session that it names, if it names one. Raises `Refused` where its key
        may not make it."""
        session = who.session
        try:
            body = await client.body(self.settings.max_body)
        except ClientGone:
            await self._never_read(session, route, client)
            return
        except BodyTooLarge:
            await self._too_large(session, route, client)
            return
        mark = client.headers.get(_RETRY_MARK)
        flights = self._live_flights if session is None else session.flights
        same: object = None
        if mark is not None:  # only then: it is a hash of the whole body
            same = (route.path, len(body), hash(body), *(client_keys(client) if session is None else ()))
            known = flights.repeated(same, _attempt(mark), alone=session is not None, seen=not self.live.took_over)
            if known is not None and await self._replayed(known, client):
                return
        asked = await self._asked(session, route, client, body, who.holder)
        flight = None
        if mark is not None:
            flight = Flight(asked.call, client, same, _attempt(mark))
            flights.add(flight)
        try:
            await self._carry(asked, Outlet(client, flight), who.passed)
        finally:
            if flight is not None:
                flight.finish()
                flights.prune()
        await self._let_lone_end(asked)

    async def _let_lone_end(self, asked: _Asked) -> None:
        """A request that cannot be read, of an agent that does not say who it is, is a session of its own."""
        session = asked.call.session
        if session.row.origin == "content" and asked.request is None:
            await self.live.end((session,))

    async def _asked(
        self, session: Session | None, route: Route, client: Client, body: bytes, holder: Holder | None = None
    ) -> _Asked:
        """The request as a call of its session."""
        request: Request | None = None
        trouble: str | None = None
        try:
            if client.headers.get(b"content-encoding", b"identity") == b"identity":
                request = route.split(body)
        except BadBody as error:
            trouble = str(error)
        if holder is not None:
            holder.admit(request.model if request is not None else None)
        identity = read_identity(client.headers, request.envelope if request is not None else b"")
        there: Placed | None = None
        if session is None:
            session, there = await self.live.find(scope_of(client), identity, route.dialect, request)
        if request is not None and there is None:
            there = await self.live.placed(session, route.dialect, request)
        if session.epoch != self.recorder.epoch:  # what the graph remembered meanwhile may not have been stored
            there = None
        if session.live:
            self._label(session, route, client, request, holder)
        call = Call(session, route, self.recorder.epoch, identity)
        call.holder = holder
        return _Asked(call, body, request, there, trouble)

    def _label(
        self, session: Session, route: Route, client: Client, request: Request | None, holder: Holder | None
    ) -> None:
        """Note with a live session what its client says of it, and whose key it shows."""
        envelope = request.envelope if request is not None else b""
        labels = read_labels(route.dialect.name, client.headers, client.query, envelope)
        if holder is not None:
            labels |= holder.labels
        if labels:
            session.label(labels)

    async def _carry(self, asked: _Asked, outlet: Outlet, key: str | None) -> None:
        """A call that repeats no other. That of a trainer's rollout waits while it is paused."""
        endpoint = asked.call.session.endpoint
        async with nullcontext() if endpoint is None else endpoint.steering.call():
            await self._carry_on(asked, outlet, key)

    async def _carry_on(self, asked: _Asked, outlet: Outlet, key: str | None) -> None:
        client, call = outlet.client, asked.call
        relay = Relay(self, call, outlet, upstream_headers(client.scope["headers"]), key)
        targets = await self._admit(asked, outlet, relay)
        if targets is None:
            return
        client.watch(relay.client_left)
        try:
            await relay.run(asked.body, targets)
        finally:
            client.unwatch()
            call.session.leave(relay.abort)

    async def _replayed(self, known: Flight, client: Client) -> bool:
        """Give the answer of the call that this request repeats; False when that call came to nothing."""
        if known.finished:
            if not known.good:
                return False
            if not known.call.counted and not await self.commit(known.call.taken_up()):
                return False
        await known.follow(client)
        return client.started or client.left

    async def _admit(self, asked: _Asked, outlet: Outlet, relay: Relay) -> Sequence[Target] | None:
        """Record the intent; where to send it. None when the request was refused, and answered so."""
        call, body = asked.call, asked.body
        session = call.session
        encoding = outlet.client.headers.get(b"content-encoding", b"identity")
        if encoding != b"identity":
            said = f"The content-encoding {encoding.decode('latin-1')!r} is not read here; send the body plain."
            await self._refuse(call, [], outlet, 415, said, "bad_request", body)
            return None
        try:
            if asked.request is None:
                raise BadBody(asked.trouble or "it is empty")
            rows = call.begin(under_policy(call, asked.request, self.settings), asked.there)
        except BadBody as error:
            said = f"This request cannot be read: {error}."
            await self._refuse(call, [], outlet, 400, said, "bad_request", body)
            return None
        cause = session.stop or session.exhausted(call.row.started)  # it may have ended while the body came
        if cause is not None:
            session.stop = cause
            status = status_of_end(outlet.client.headers)
            await self._refuse(call, rows, outlet, status, f"This session has stopped ({cause}).", cause)
            return None
        assert call.request is not None
        try:
            model = session.row.model or call.request.model
            targets = self._targets(session, model, call.dialect.name)
        except UpstreamError as error:
            await self._refuse(call, rows, outlet, error.status, str(error), error.cause, code=error.code)
            return None
        session.enter(relay.abort)
        if not await self.post(rows):
            session.leave(relay.abort)
            said = "Nothing can be recorded now, so nothing is asked."
            await self._say(outlet, call.dialect, 503, said, "recorder_failed")
            return None
        return targets

    def _targets(self, session: Session, model: str, dialect: str) -> list[Target]:
        """Raises `UpstreamError`."""
        if session.endpoint is not None and session.endpoint.models is not None:
            return session.endpoint.models.targets(model, None, dialect, session.line)
        own = session.environment.models if session.environment is not None else None
        return self.models.targets(model, own, dialect, session.line)

    async def _refuse(
        self,
        call: Call,
        rows: list[Row],
        outlet: Outlet,
        status: int,
        message: str,
        cause: str,
        body: bytes | None = None,
        *,
        code: str | None = None,
    ) -> None:
        await self.post([*rows, *call.refused(status, cause, message, body)])
        await self._say(outlet, call.dialect, status, message, code or cause)

    async def _never_read(self, session: Session | None, route: Route, client: Client) -> None:
        asked = await self._asked(session, route, client, b"")
        call = asked.call
        said = "the client left before its request was complete"
        await self.post(call.ended_badly("abandoned", "client_left", said, http_status=None, response=None, seen=None))
        await self._let_lone_end(asked)

    async def _too_large(self, session: Session | None, route: Route, client: Client) -> None:
        asked = await self._asked(session, route, client, b"")
        call = asked.call
        said = f"The request's body is larger than {self.settings.max_body} bytes."
        await self._refuse(call, [], Outlet(client, None), 413, said, "bad_request", code="request_too_large")
        await self._let_lone_end(asked)

    async def conversation(self, session: Session, leaf: bytes) -> list[bytes]:
        """What was said in a session up to a message, from the store."""
        trajectory = await anyio.to_thread.run_sync(self.store.trajectory, session.id)
        return [node.body for node in trajectory.path(leaf)]

    async def post(self, rows: list[Row]) -> bool:
        """Hand rows to the recorder; False when the client must be told that it did not take them."""
        try:
            await self.recorder.post(*rows)
        except StoreError as error:
            return self._lost(error)
        return True

    async def commit(self, rows: list[Row]) -> bool:
        """The same, and wait until they are durable."""
        try:
            await self.recorder.commit(*rows)
        except StoreError as error:
            return self._lost(error)
        return True

    def _lost(self, error: StoreError) -> bool:
        self.alarms.unrecorded += 1
        if self.settings.recording != "best-effort":
            return False  # its client is told, and the recorder has told the log
        _log.error("A model call could not be recorded: %s", error)
        return True

    async def _say(self, outlet: Outlet, dialect: Dialect, status: int, message: str, code: str) -> None:
        await outlet.answer(status, [JSON, NO_RETRY], dialect.error(status, message, code))


def _attempt(mark: bytes) -> int:
    """How often a request was sent before, as its SDK says."""
    return int(mark) if mark.isdigit() else 1
