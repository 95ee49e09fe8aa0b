"""The connection that stands in for a server: recorded calls answer, and only what falls through reaches anybody."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
from anyio import to_thread

from drawbar.causes import CAUSES
from drawbar.errors import ToolServerError
from drawbar.tools import protocol
from drawbar.tools.cassettes.deck import Deck
from drawbar.tools.cassettes.drift import schema_changes
from drawbar.tools.cassettes.format import Recording
from drawbar.tools.cassettes.playing import Found
from drawbar.tools.connection import Caller, Connection, RefusedByServer, ToolCallFailed, ToolRequest
from drawbar.tools.protocol import Json


class Replay:
    """A server's stand-in. `live`: the server itself, for a cassette through which calls may fall."""

    def __init__(self, name: str, deck: Deck, live: Connection | None) -> None:
        self._name = name
        self._deck = deck
        self._live = live
        self.instructions = deck.instructions(name)

    async def open(self) -> None:
        """Nothing to open, but the live server where calls may fall through to it."""
        if self._live is None:
            return
        await self._live.open()
        tools = await self._live.tools()
        self._deck.schema[self._name] = schema_changes(self._deck.tools(self._name), tools)
        self._deck.lists_live(self._name, tools)

    async def tools(self) -> list[Json]:
        """As they were listed when the cassette was recorded."""
        return self._deck.tools(self._name)

    async def call(self, request: ToolRequest) -> Json:
        """The recorded answer, or the recorded failure.

        Raises:
            ToolCallFailed: nothing was recorded that answers.
        """
        found = self._deck.find(self._name, request)
        if found is not None:
            return self._answer(found)
        if self._live is None:
            raise self._missed(request, "no recorded call is like it")
        if not self._deck.is_read_only(self._name, request.tool):
            raise self._missed(
                request, "the live server is not asked, because the tool is not marked as one that only reads"
            )
        self._deck.asked_live(self._name, request)
        return await self._ask(self._live, request)

    def no_such_tool(self, caller: Caller, tool: str, arguments: Mapping[str, Any]) -> None:
        """A tool was called that no server of its environment has."""
        self._deck.no_such_tool(caller, tool, arguments)

    async def close(self) -> None:
        """Close the live server, if there is one."""
        if self._live is not None:
            await self._live.close()

    def _answer(self, found: Found) -> Json:
        recording = found.take.recording
        if recording.error is not None:
            raise _failure(recording.error)
        try:
            answer = recording.answer or {}
        except ValueError as error:
            raise ToolServerError(f"The cassette {self._deck.cassette.path} is damaged: {error}.") from error
        if found.how != "hit":
            meta = answer.get("_meta")
            note = {"how": found.how, "likeness": round(found.likeness, 3), "session": recording.session,
                    "seq": recording.seq, "arguments": recording.arguments}  # fmt: skip
            answer["_meta"] = {**(meta if isinstance(meta, dict) else {}), protocol.CASSETTE_KEY: note}
        return answer

    def _missed(self, request: ToolRequest, why: str) -> ToolCallFailed:
        self._deck.missed(self._name, request, why)
        return ToolCallFailed(
            "cassette_missed",
            f"This call of {request.tool!r} has no recorded answer: {why}. Recorded answers stand in for this tool.",
        )

    async def _ask(self, live: Connection, request: ToolRequest) -> Json:
        """The live server's answer, once it is in the next generation."""
        caller = request.caller
        recording = Recording(
            server=self._deck.recorded_name(self._name), tool=request.tool, arguments=dict(request.arguments),
            session=caller.session, task=caller.task, rollout=caller.rollout, attempt=caller.attempt,
            write=False, started=time.time(),
        )  # fmt: skip
        try:
            result = await live.call(request)
            answered = {"result": msgspec.Raw(orjson.dumps(result))}
        except RefusedByServer as refused:
            await self._keep(recording, error={"code": refused.code, "message": refused.message})
            raise
        await self._keep(recording, **answered)
        return result

    async def _keep(self, recording: Recording, **answer: Any) -> None:
        seconds = time.time() - (recording.started or 0.0)
        kept = msgspec.structs.replace(recording, seconds=seconds, **answer)
        await to_thread.run_sync(self._deck.written.add, kept)
        self._deck.learn(self._name, kept)


def _failure(error: Mapping[str, Any]) -> Exception:
    message = str(error.get("message", ""))
    if "code" in error:
        return RefusedByServer.from_error(error)
    cause = error.get("cause")
    return ToolCallFailed(cause if isinstance(cause, str) and cause in CAUSES else "tool_server_failed", message)
