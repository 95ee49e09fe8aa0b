"""Writing a cassette while sessions go on: a connection that passes everything on, and the file that it fills."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
import orjson
from anyio import to_thread

from drawbar.errors import ConfigurationError, ToolServerError
from drawbar.record.redaction import Redact
from drawbar.tools.cassettes.format import Recording, new_header, read_header, to_line
from drawbar.tools.connection import Caller, Connection, RefusedByServer, ToolCallFailed, ToolRequest
from drawbar.tools.protocol import Json

logger = logging.getLogger(__name__)

_CANCELLED: Final = {"cause": "cancelled", "message": "The call was cancelled."}


class Sink:
    """One file that is being recorded. Its header is written with the first call, when all servers are known."""

    def __init__(self, path: Path, environment: str | None, redact: Redact | None) -> None:
        """A file that is there already is gone on with, if it is a cassette. Raises `ConfigurationError`."""
        self.path = path
        self.failure: str | None = None
        """Why it cannot be written any more."""
        self._environment = environment
        self._redact = redact
        self._servers: dict[str, dict[str, Any]] = {}
        self._calls: Counter[str] = Counter()
        self._writes: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._begun = path.exists() and path.stat().st_size > 0
        if self._begun:
            read_header(path)
            _cut_unfinished(path)

    def listed(self, server: str, tools: list[Json], instructions: str | None) -> None:
        """A server named its tools. Of what sessions are told differently, the first is kept."""
        known: dict[str, Any] = {"tools": tools}
        if instructions is not None:
            known["instructions"] = instructions
        self._servers.setdefault(server, known)

    def begin(self, caller: Caller, server: str, request: ToolRequest) -> Recording:
        """A call begins."""
        writes = not is_marked_read_only(self._servers.get(server, {}).get("tools", ()), request.tool)
        recording = Recording(
            server=server, tool=request.tool, arguments=dict(request.arguments),
            session=caller.session, seq=self._calls[caller.session],
            task=caller.task, rollout=caller.rollout, attempt=caller.attempt,
            write=writes, writes=self._writes[caller.session], started=time.time(),
        )  # fmt: skip
        self._calls[caller.session] += 1
        self._writes[caller.session] += writes
        return recording

    async def write(self, recording: Recording) -> None:
        """Add a call that is over. Raises `ToolServerError`: nobody must rely on an answer that is not kept."""
        try:
            await to_thread.run_sync(self._write, recording)
        except Exception as error:
            # Of the hook, only the kind: its message may quote what it was to hide.
            why = error.strerror if isinstance(error, OSError) else f"the redaction hook raised {type(error).__name__}"
            self.failure = f"The cassette {self.path} cannot be written: {why}."
            logger.error("%s", self.failure)
            raise ToolServerError(self.failure) from error

    async def finish(self) -> None:
        """Write the header, if no call ever came."""
        if not self._begun and self.failure is None:
            await to_thread.run_sync(self._write, None)

    def _write(self, recording: Recording | None) -> None:
        line = b"" if recording is None else to_line(self._redacted(recording))
        with self._lock:
            if not self._begun:
                header = new_header(self._servers, self._environment).to_json()
                self.path.parent.mkdir(parents=True, exist_ok=True)
                line = (header if self._redact is None else self._redact(header)) + b"\n" + line
            with self.path.open("ab") as file:
                file.write(line)
            self._begun = True

    def _redacted(self, recording: Recording) -> Recording:
        return recording if self._redact is None else redacted(recording, self._redact)


class Recorded:
    """A connection whose calls are written down. `timeout`: seconds after which a call is given up."""

    def __init__(self, name: str, connection: Connection, sink: Sink, timeout: float) -> None:
        self._name = name
        self._connection = connection
        self._sink = sink
        self._timeout = timeout
        self.instructions: str | None = None

    async def open(self) -> None:
        await self._connection.open()
        self.instructions = self._connection.instructions

    async def tools(self) -> list[Json]:
        found = await self._connection.tools()
        self._sink.listed(self._name, found, self.instructions)
        return found

    async def call(self, request: ToolRequest) -> Json:
        """The result, once it is in the file. A call that is given up is there too, as not answered."""
        recording = self._sink.begin(request.caller, self._name, request)
        result: Json = {}
        error: dict[str, Any] | None = None
        try:
            result = await self._connection.call(request)
        except RefusedByServer as refused:
            error = {"code": refused.code, "message": refused.message}
            if refused.data is not None:
                error["data"] = refused.data
            raise
        except ToolServerError as failed:
            cause = failed.cause if isinstance(failed, ToolCallFailed) else "tool_server_failed"
            error = {"cause": cause, "message": str(failed)}
            raise
        except asyncio.CancelledError:
            late = time.time() - (recording.started or 0.0) >= self._timeout
            said = f"The tool {request.tool!r} did not answer within {self._timeout:g} s; the call was given up."
            error = {"cause": "tool_timeout", "message": said} if late else dict(_CANCELLED)
            raise
        finally:
            await self._end(recording, result, error)
        return result

    async def close(self) -> None:
        await self._connection.close()

    async def _end(self, recording: Recording, result: Json, error: dict[str, Any] | None) -> None:
        ended = msgspec.structs.replace(recording, error=error, seconds=time.time() - (recording.started or 0.0))
        if error is None:
            kept = {key: value for key, value in result.items() if (key, value) != ("resultType", "complete")}
            ended.result = msgspec.Raw(orjson.dumps(kept))
        with anyio.CancelScope(shield=True):
            await self._sink.write(ended)


def redacted(recording: Recording, redact: Callable[[bytes], bytes]) -> Recording:
    """A recording as it may be kept. Raises `ValueError` where what the hook leaves is no JSON object."""
    arguments = orjson.loads(redact(orjson.dumps(recording.arguments)))
    kept = msgspec.structs.replace(recording, arguments=arguments)
    if recording.error is not None:
        kept.error = orjson.loads(redact(orjson.dumps(recording.error)))
    else:
        kept.result = msgspec.Raw(redact(bytes(recording.result)))
    return kept


def is_marked_read_only(tools: Any, name: str) -> bool:
    """Whether its server says of a tool that it only reads."""
    hints = next((tool.get("annotations") for tool in tools if tool.get("name") == name), None)
    return isinstance(hints, Mapping) and hints.get("readOnlyHint") is True


def check_new(path: Path) -> None:
    """Raises `ConfigurationError` where there is something already: no recording writes over another."""
    if path.exists():
        raise ConfigurationError(f"{path} is there already. Name another file, or remove it: none is written over.")


def _cut_unfinished(path: Path) -> None:
    """Take off a last line that a killed recorder did not finish."""
    with path.open("rb+") as file:
        body = file.read()
        if not body.endswith(b"\n"):
            file.truncate(body.rfind(b"\n") + 1)
