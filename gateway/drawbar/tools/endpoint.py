"""The MCP endpoint that an agent sees: one URL per session, stateless, in both eras of the protocol.

It knows sessions, toolsets and how an answer is sent; what a call does is in `calls`, which servers there are in
`pool`. Only the methods in the two tables below are answered, and of them only `tools/call` reaches a server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import orjson

from drawbar.errors import ConfigurationError, StoreError, ToolServerError
from drawbar.tools import protocol
from drawbar.tools.answer import Answer, Companion, send_accepted, send_json
from drawbar.tools.calls import Calls, caller_of
from drawbar.tools.cassettes.resuming import Resuming
from drawbar.tools.cassettes.verdict import Replayed, replayed
from drawbar.tools.era import Refusal, check_mirrored, check_modern, dress, is_modern
from drawbar.tools.guard import Rejected, check_origin, read_body
from drawbar.tools.pool import Pool, close_all
from drawbar.tools.protocol import Json
from drawbar.tools.quirks import suited
from drawbar.tools.seat import Seat
from drawbar.tools.toolset import Toolset
from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import load_whole

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from drawbar.environment import Environment
    from drawbar.record.recorder import Recorder
    from drawbar.sessions import Session

Owner: TypeAlias = "Callable[[Json], Awaitable[Session | None]]"
"""Given the parameters of a tool call, the session whose model asked for it; None: no other than the one at hand."""

_LISTS: Final = {
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
"""What many clients ask for although we say that we have none of it."""

_QUICK = 0.05
"""Seconds for which nobody watches whether the client of a call is still there."""


@dataclass(slots=True)
class _Request:
    """One JSON-RPC request on its way through."""

    session: Session
    seat: Seat
    body: Json
    headers: dict[str, str]
    modern: bool
    receive: Receive
    answer: Answer
    owner: Owner | None

    @property
    def params(self) -> Json:
        params = self.body.get("params")
        return params if isinstance(params, dict) else {}


class ToolSide:
    """Serves the tools of sessions' environments. Use it as an async context manager: the shared servers live in it.

    `strict`: a call that cannot be recorded is answered with an error. `ping`: seconds after which a silent answer
    becomes a stream that is kept alive. `allowed_hosts`: names under which it may be reached besides loopback ones.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        strict: bool = True,
        max_body_bytes: int = 4 * 1024 * 1024,
        ping: float = 15.0,
        allowed_hosts: Collection[str] = (),
    ) -> None:
        self._calls = Calls(recorder, strict=strict)
        self._pool = Pool(recorder.redacted)
        self._recorder = recorder
        self._resuming = Resuming()
        self._seats: dict[str, Seat] = {}
        self._max_body = max_body_bytes
        self._ping = ping
        self._allowed_hosts = frozenset(allowed_hosts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for seat in list(self._seats.values()):
            await seat.vacate()
        self._seats.clear()
        await self._pool.close()

    async def open(self, session: Session) -> None:
        """Connect what the session needs. Raises `ToolServerError`."""
        await self._toolset(session, self._seat(session))

    async def close(self, session: Session) -> None:
        """End what the session had for itself. Its calls that still run are cancelled, and recorded as such."""
        if not self._resuming.knows(session):
            with suppress(StoreError):  # what it was like is then told without what was before
                await self._catch_up(session, session.environment)
        self._resuming.forget(session)
        if (seat := self._seats.pop(session.id, None)) is not None:
            await seat.vacate()

    async def _catch_up(self, session: Session, environment: Environment | None) -> None:
        """Let the cassettes know what a session has asked before this gateway knew it. Raises `StoreError`."""
        if environment is not None and (decks := self._pool.decks_of_servers(environment)):
            await self._resuming.catch_up(self._recorder.store, session, caller_of(session), decks)

    def replayed(self, session: Session) -> Replayed | None:
        """What a session that ends had of cassettes; None: it has nothing to do with any."""
        if session.environment is None:
            return None
        return replayed(
            self._pool.decks(session.environment), caller_of(session), self._pool.unrecorded(session.environment)
        )

    def forget(self, session: Session) -> None:
        """The session is over, and what it had of cassettes is kept elsewhere."""
        if session.environment is not None:
            for deck in self._pool.decks(session.environment):
                deck.forget(session.id)

    def let_go(self, session: Session) -> bool:
        """Forget a session that is not used, if it comes back as it was: without servers of its own."""
        seat = self._seats.get(session.id)
        if seat is not None and (seat.own or seat.running or seat.lock.locked()):
            return False
        self._seats.pop(session.id, None)
        return True

    async def tools(self, session: Session) -> list[Json]:
        """The definitions that the session's agent sees. Raises `ToolServerError`."""
        return list((await self._toolset(session, self._seat(session))).tools)

    async def tools_of(self, environment: Environment) -> list[Json]:
        """The definitions that agents of any session in the environment see. Raises `ToolServerError`."""
        toolset, own = await self._pool.open(environment)
        await close_all(own)
        return list(toolset.tools)

    async def call(self, session: Session, name: str, arguments: Json) -> Json:
        """One tool call of a program in this process: the result as an agent gets it, recorded like any other. Raises
        `ToolServerError`, `StoreError`."""
        seat = self._seat(session)
        toolset = await self._toolset(session, seat)
        id = f"in-process-{session.tool_calls}"
        stop = seat.begin(id)
        try:
            await self._catch_up(session, session.environment)
            return await self._calls.run(session, toolset, {"name": name, "arguments": arguments}, None, stop)
        finally:
            seat.end(id, stop)

    async def handle(
        self, session: Session, scope: Scope, receive: Receive, send: Send, owner: Owner | None = None
    ) -> None:
        """One HTTP request to the session's endpoint. `owner` tells whose a tool call is, where that may be another
        session than the one whose tools they are."""
        if scope["method"] != "POST":
            await _reject(send, 405, "This MCP endpoint takes POST alone.", ((b"allow", b"POST"),))
            return
        headers = {name.decode("latin-1"): value.decode("latin-1").strip() for name, value in scope["headers"]}
        try:
            body = await self._body(scope, headers, receive)
            if body is None:
                return
            if session.stop is not None:
                raise Rejected(409, f"This session has ended ({session.stop}).")
        except Rejected as rejected:
            await _reject(send, rejected.status, str(rejected))
            return
        await self._message(session, scope, headers, receive, send, body, owner)

    async def _body(self, scope: Scope, headers: dict[str, str], receive: Receive) -> bytes | None:
        check_origin(scope, headers, self._allowed_hosts)
        if not headers.get("content-type", "").lower().startswith("application/json"):
            raise Rejected(415, "An MCP request has the content type application/json.")
        return await read_body(headers, receive, self._max_body)

    async def _message(
        self,
        session: Session,
        scope: Scope,
        headers: dict[str, str],
        receive: Receive,
        send: Send,
        raw: bytes,
        owner: Owner | None,
    ) -> None:
        try:
            body: Any = load_whole(raw)
        except BadBody as error:
            await _refuse(send, None, Refusal(protocol.PARSE_ERROR, f"The body is {error}", 400))
            return
        if not isinstance(body, dict) or body.get("jsonrpc") != "2.0":
            message = "The body must be one JSON-RPC 2.0 message; batches are not taken."
            await _refuse(send, None, Refusal(protocol.INVALID_REQUEST, message, 400))
            return
        seat, modern = self._seat(session), is_modern(body, headers)
        if "id" not in body or "method" not in body:
            await _take_notification(seat, body, modern, headers, send)
            return
        id = protocol.as_id(body["id"])
        answer = Answer(send, streams=_takes_events(headers), progress_token=_progress_token(body))
        request = _Request(session, seat, body, headers, modern, receive, answer, owner)
        try:
            if id is None or not isinstance(body["method"], str):
                raise Refusal(protocol.INVALID_REQUEST, "A request has a string or a number as id, and a method.", 400)
            if modern:
                await check_modern(body, scope["headers"], headers)
            result = await self._result(request)
        except Refusal as refusal:
            await answer.finish(protocol.error(id, refusal.code, refusal.message, refusal.data), refusal.status)
        except (ToolServerError, ConfigurationError) as error:
            await answer.finish(protocol.error(id, protocol.INTERNAL_ERROR, str(error)))
        except StoreError:  # an agent can do nothing with where the store is; the log says it
            said = "The call could not be recorded, so its result is not given."
            await answer.finish(protocol.error(id, protocol.INTERNAL_ERROR, said))
        else:
            dressed = dress(body["method"], result, _identity(session)) if modern else result
            await answer.finish(protocol.result(id, dressed))

    async def _result(self, request: _Request) -> Json:
        method = request.body["method"]
        if method == "tools/call":
            return await self._call(request)
        if method == "tools/list":
            return {"tools": (await self._toolset(request.session, request.seat)).tools}
        if method in _LISTS:
            return {_LISTS[method]: []}
        if method == ("server/discover" if request.modern else "initialize"):
            toolset = await self._toolset(request.session, request.seat)
            request.seat.client = _client(request.params)
            return _discovered(toolset) if request.modern else _initialized(request, toolset)
        if method == "ping" and not request.modern:
            return {}
        status = 404 if request.modern else 200
        raise Refusal(protocol.METHOD_NOT_FOUND, f"This endpoint does not serve {method}.", status)

    async def _call(self, request: _Request) -> Json:
        toolset = await self._toolset(request.session, request.seat)
        route = toolset.routes.get(name) if isinstance(name := request.params.get("name"), str) else None
        if request.modern and route is not None:
            await check_mirrored(route.schema, request.body, request.headers)
        id = request.body["id"]
        stop = request.seat.begin(id)
        companion = Companion(
            request.answer,
            request.receive,
            # In the handshake era a closed connection is no wish to cancel.
            on_leave=(lambda: stop.cancel("client_left")) if request.modern else (lambda: None),
            after=min(_QUICK, self._ping),
            every=self._ping,
        )
        try:
            caller = await request.owner(request.params) if request.owner is not None else None
            caller = caller or request.session
            await self._catch_up(caller, request.session.environment)
            shown = await self._calls.run(caller, toolset, request.params, request.answer.progress, stop)
            return suited(shown, request.seat.client)
        finally:
            request.seat.end(id, stop)
            await companion.dismiss()

    def _seat(self, session: Session) -> Seat:
        seat = self._seats.get(session.id)
        if seat is None:
            seat = self._seats[session.id] = Seat()
        return seat

    async def _toolset(self, session: Session, seat: Seat) -> Toolset:
        if seat.toolset is not None:
            return seat.toolset
        async with seat.lock:
            if seat.closed:
                raise ToolServerError("The session was closed.")
            if seat.toolset is None:
                if session.environment is None:
                    seat.toolset = Toolset()
                else:
                    seat.toolset, seat.own = await self._pool.open(session.environment)
            return seat.toolset


async def _take_notification(seat: Seat, body: Json, modern: bool, headers: dict[str, str], send: Send) -> None:
    """Take what has no answer. A handshake-era cancellation is obeyed if it can mean one running call alone.

    Request ids are unique only within a client's connection, and a session may have many.
    """
    if "method" not in body and modern:
        refusal = Refusal(protocol.INVALID_REQUEST, "The modern revision has no messages without a method.", 400)
        await _refuse(send, protocol.as_id(body.get("id")), refusal)
        return
    if modern and headers.get("mcp-protocol-version", protocol.MODERN) != protocol.MODERN:
        data = {"supported": [protocol.MODERN], "requested": headers["mcp-protocol-version"]}
        refusal = Refusal(protocol.UNSUPPORTED_VERSION, "Unsupported protocol version", 400, data)
        await _refuse(send, None, refusal)
        return
    if body.get("method") == "notifications/cancelled" and not modern and isinstance(body.get("params"), dict):
        id = protocol.as_id(body["params"].get("requestId"))
        running = seat.running.get(id, []) if id is not None else []
        if len(running) == 1:
            running[0].cancel("client_left")
    await send_accepted(send)


def _identity(session: Session) -> Json:
    environment = session.environment
    if environment is None:
        return {"name": "drawbar", "version": protocol.CLIENT["version"]}
    return {"name": environment.name, "version": environment.version}


def _discovered(toolset: Toolset) -> Json:
    found: Json = {"supportedVersions": [protocol.MODERN], "capabilities": {"tools": {"listChanged": False}}}
    if toolset.instructions is not None:
        found["instructions"] = toolset.instructions
    return found


def _initialized(request: _Request, toolset: Toolset) -> Json:
    offered = request.params.get("protocolVersion")
    said: Json = {
        "protocolVersion": offered if offered in protocol.HANDSHAKE else protocol.HANDSHAKE[-1],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": _identity(request.session),
    }
    if toolset.instructions is not None:
        said["instructions"] = toolset.instructions
    return said


def _client(params: Json) -> str | None:
    client = params.get("clientInfo")
    name = client.get("name") if isinstance(client, dict) else None
    return name if isinstance(name, str) else None


def _progress_token(body: Json) -> int | str | None:
    params = body.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return protocol.as_id(meta.get("progressToken")) if isinstance(meta, dict) else None


def _takes_events(headers: dict[str, str]) -> bool:
    accept = headers.get("accept", "*/*")
    return "text/event-stream" in accept or "*/*" in accept or "text/*" in accept


async def _refuse(send: Send, id: int | str | None, refusal: Refusal) -> None:
    body = orjson.dumps(protocol.error(id, refusal.code, refusal.message, refusal.data))
    await send_json(send, refusal.status, body)


async def _reject(send: Send, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """An HTTP error in a shape that MCP clients can print."""
    body = orjson.dumps(protocol.error(None, protocol.INVALID_REQUEST, message))
    await send_json(send, status, body, headers)
