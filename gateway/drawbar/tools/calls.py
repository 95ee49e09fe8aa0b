"""One `tools/call` from its intent in the record to its end there. Whatever happens on the way, the row says so."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import orjson

from drawbar.errors import StoreError, ToolServerError, UnknownName
from drawbar.ids import new_id
from drawbar.record.rows import ToolCallRow
from drawbar.sessions import Session
from drawbar.tools import protocol
from drawbar.tools.cassettes.replay import Replay
from drawbar.tools.connection import Caller, OnProgress, RefusedByServer, ToolCallFailed, ToolRequest
from drawbar.tools.protocol import Json
from drawbar.tools.shaping import Shaped, shape
from drawbar.tools.toolset import Route, Toolset

if TYPE_CHECKING:
    from drawbar.record.recorder import Recorder

logger = logging.getLogger(__name__)

_LAST_WRITE = 5.0
"""Seconds that a call which is being torn down may still take to be recorded."""


class Cancellation:
    """Lets whoever notices that a call is not wanted any more end it."""

    def __init__(self) -> None:
        self.cause: str | None = None
        self._scope: anyio.CancelScope | None = None

    def cancel(self, cause: str) -> None:
        """End the call, now or as soon as it begins; `cause` is a name from `drawbar.causes`."""
        self.cause = self.cause or cause
        if self._scope is not None:
            self._scope.cancel()

    def attach(self, scope: anyio.CancelScope) -> None:
        """This scope is the call."""
        self._scope = scope
        if self.cause is not None:
            scope.cancel()


@dataclass(frozen=True, slots=True)
class _Outcome:
    shown: Json
    shaped: Shaped | None = None
    status: str = "answered"
    cause: str | None = None
    error: str | None = None


class Calls:
    """Runs calls and records them. `strict`: a call that cannot be recorded fails."""

    def __init__(self, recorder: Recorder, *, strict: bool) -> None:
        self._recorder = recorder
        self._strict = strict

    async def run(
        self, session: Session, toolset: Toolset, params: Json, on_progress: OnProgress | None, stop: Cancellation
    ) -> Json:
        """The result as the agent gets it, durable by then. Raises `StoreError` when it could not be recorded."""
        route = toolset.routes.get(name) if isinstance(name := params.get("name"), str) else None
        row = _intent(session, route, params)
        session.known.add(row.id)
        await self._write(self._recorder.post, row)
        try:
            if route is None:
                _note_unknown(toolset, caller_of(session), str(name), params.get("arguments"))
                outcome = _refused(str(UnknownName("tool", str(name), toolset.routes)))
            else:
                outcome = await self._attempt(session, toolset, route, params, on_progress, stop)
        except asyncio.CancelledError:
            with anyio.move_on_after(_LAST_WRITE, shield=True):
                await self._end(row, _Outcome({}, status="cancelled", cause="cancelled"))
            raise
        await self._end(row, outcome)
        return outcome.shown

    async def _attempt(
        self,
        session: Session,
        toolset: Toolset,
        route: Route,
        params: Json,
        on_progress: OnProgress | None,
        stop: Cancellation,
    ) -> _Outcome:
        arguments = params.get("arguments")
        if arguments is not None and not isinstance(arguments, dict):
            return _refused(f"The arguments of a tool are a JSON object, not {type(arguments).__name__}.")
        meta = {**_passed_on(params), protocol.SESSION_KEY: session.id}
        request = ToolRequest(route.tool, arguments or {}, meta, on_progress, caller_of(session))
        spec = route.member.spec
        with anyio.move_on_after(spec.timeout) as scope:
            stop.attach(scope)
            try:
                result = _settled(await route.member.connection.call(request))
                shaped = shape(result, toolset.observation, spec.max_result_bytes)
                return _Outcome(shaped.shown, shaped)
            except RefusedByServer as error:
                return _refused(f"{error.message or 'The server refused the call.'}", f"{error.code}: {error.message}")
            except ToolCallFailed as error:
                return _failed(str(error), error.cause)
            except ToolServerError as error:
                return _failed(str(error), "tool_server_failed")
            except Exception as error:
                logger.exception("calling tool %r of server %r failed", route.tool, route.member.name)
                return _failed(f"The gateway failed to call this tool: {type(error).__name__}.", "tool_server_failed")
        if stop.cause is not None:
            return _Outcome(protocol.error_result("The call was cancelled."), status="cancelled", cause=stop.cause)
        return _failed(
            f"The tool {params['name']!r} did not answer within {spec.timeout:g} s; the call was given up.",
            "tool_timeout",
        )

    async def _end(self, row: ToolCallRow, outcome: _Outcome) -> None:
        shaped = outcome.shaped
        ended = msgspec.structs.replace(
            row,
            result=None if shaped is None else shaped.kept_json,
            shown=shaped.shown_json if shaped is not None else orjson.dumps(outcome.shown),
            is_error=outcome.shown.get("isError") is True,
            status=outcome.status,
            cause=outcome.cause,
            error=outcome.error,
            ended=time.time(),
        )
        await self._write(self._recorder.commit, ended)

    async def _write(self, write: Callable[[ToolCallRow], Awaitable[None]], row: ToolCallRow) -> None:
        try:
            await write(row)
        except StoreError as error:
            if self._strict:
                raise  # its agent is told, and the recorder has told the log
            logger.error("tool call %s could not be recorded: %s", row.id, error)


def caller_of(session: Session) -> Caller:
    """A session as connections know it."""
    row = session.row
    return Caller(session.id, row.task_key, row.rollout, row.attempt)


def _note_unknown(toolset: Toolset, caller: Caller, name: str, arguments: Any) -> None:
    """Let the first cassette of a replay tell of a tool that there is none of: an agent that has changed."""
    connections = (route.member.connection for route in toolset.routes.values())
    replay = next((connection for connection in connections if isinstance(connection, Replay)), None)
    if replay is not None:
        replay.no_such_tool(caller, name, arguments if isinstance(arguments, dict) else {})


def _intent(session: Session, route: Route | None, params: Json) -> ToolCallRow:
    meta = params.get("_meta")
    return ToolCallRow(
        id=new_id("tcl"),
        session=session.id,
        seq=session.next_tool_call(),
        server="" if route is None else route.member.name,
        tool="" if route is None else route.tool,
        name=str(params.get("name", "")),
        arguments=orjson.dumps(params.get("arguments", {})),
        meta=orjson.dumps(meta if isinstance(meta, dict) else {}),
        started=time.time(),
    )


def _passed_on(params: Json) -> Json:
    """What of the agent's `_meta` the server gets: nothing of its exchange with us, nothing in our name."""
    meta = params.get("_meta")
    if not isinstance(meta, dict):
        return {}
    ours = (protocol.OURS, protocol.ENVELOPE)
    return {key: value for key, value in meta.items() if key != "progressToken" and not key.startswith(ours)}


def _settled(result: dict[str, Any]) -> Json:
    """A result without the word that says it is one. Raises `RefusedByServer` for a question in place of a result."""
    kind = result.pop("resultType", "complete")
    if kind == "input_required":
        raise RefusedByServer(protocol.INTERNAL_ERROR, "The tool asks for input from a user; no user is there to ask.")
    return result


def _refused(text: str, error: str | None = None) -> _Outcome:
    return _Outcome(protocol.error_result(text), error=error or text)


def _failed(text: str, cause: str) -> _Outcome:
    return _Outcome(protocol.error_result(text), status="failed", cause=cause, error=text)
