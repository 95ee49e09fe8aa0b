"""The file format `cassette.jsonl`: a header, then one recorded tool call per line.

The first line is the header:

    {"drawbar_cassette": 1,          the version of this format
     "servers": {"shop": {"tools": [...], "instructions": "..."}},   tool definitions as each server listed them
     "recorded": "2026-11-22T10:00:00+00:00", "generation": 1, "environment": "shop",
     "parent": {"path": "shop.jsonl", "generation": 1}}              of a later generation: what it was made from

Every other line is one call, in any order:

    {"server": "shop", "tool": "get_order", "arguments": {"id": 7},
     "result": {"content": [...]},   what the server answered; or
     "error": {"code": -32602, "message": "..."}    its refusal (a JSON-RPC error), or
     "error": {"cause": "tool_timeout", "message": "..."}    why there was no answer (a name from `drawbar.causes`)
     "session": "ses_...", "seq": 3,           whose call it was, and its place among that session's calls, from 0
     "task": "refund-7", "rollout": 0, "attempt": 0,   what the session worked at, where it had a task
     "write": false, "writes": 1,    whether the tool may change something; how many such calls came before
     "started": 1790000000.0, "seconds": 0.012}        unix time, duration

Only `tool`, `arguments` and one of `result` and `error` are required. The writes before a call are the earlier lines
of its session with `write`; where lines were taken out of a file, `writes` is more than those, and the call is known
to have seen another world. Fields that are not named here are kept wherever a cassette is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from drawbar.errors import ConfigurationError

VERSION: Final = 1
NOTHING: Final = msgspec.Raw(b"")


class Recording(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One recorded call."""

    server: str = ""
    tool: str
    arguments: dict[str, Any]
    result: msgspec.Raw = NOTHING
    """JSON as it was written: most of a cassette is never looked at. `NOTHING` where there is an error."""
    error: dict[str, Any] | None = None
    session: str = ""
    seq: int | None = None
    """None: as it stands in the file."""
    task: str | None = None
    rollout: int = 0
    attempt: int = 0
    write: bool = True
    writes: int = 0
    started: float | None = None
    seconds: float | None = None

    @property
    def answer(self) -> dict[str, Any] | None:
        """The result, read. Raises `ValueError` where it is no JSON object."""
        if self.error is not None:
            return None
        value = orjson.loads(bytes(self.result))
        if not isinstance(value, dict):
            raise ValueError(f"the result of a recorded call of {self.tool!r} is no JSON object")
        return value


@dataclass(frozen=True, slots=True)
class Header:
    """A cassette's first line."""

    servers: Mapping[str, Mapping[str, Any]]
    generation: int = 1
    recorded: str = ""
    environment: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """Everything else that the line says."""

    def tools(self, server: str) -> list[dict[str, Any]]:
        """A server's tool definitions, as it listed them."""
        return [dict(tool) for tool in self.servers[server].get("tools") or ()]

    def to_json(self) -> bytes:
        """The line."""
        line = {
            "drawbar_cassette": VERSION,
            "environment": self.environment,
            "servers": self.servers,
            "recorded": self.recorded,
            "generation": self.generation,
            **self.more,
        }
        return orjson.dumps({key: value for key, value in line.items() if value is not None})


def new_header(
    servers: Mapping[str, Mapping[str, Any]], environment: str | None = None, more: Mapping[str, Any] | None = None
) -> Header:
    """The header of a cassette that is recorded now."""
    return Header(servers, 1, datetime.now(UTC).isoformat(timespec="seconds"), environment, more or {})


_DECODER: Final = msgspec.json.Decoder(Recording)
_ENCODER: Final = msgspec.json.Encoder()
_KNOWN: Final = {"drawbar_cassette", "environment", "servers", "recorded", "generation"}


def to_line(recording: Recording) -> bytes:
    """One line, its end included."""
    if not bytes(recording.result):
        recording = msgspec.structs.replace(recording, result=NOTHING)  # no other one is left out
    return _ENCODER.encode(recording) + b"\n"


def read(path: Path) -> tuple[Header, list[Recording]]:
    """A whole cassette.

    Raises:
        ConfigurationError: it cannot be read, or a line is damaged: which one, and how.
    """
    lines = _lines(path)
    header = _header(path, next(lines, (1, b""))[1])
    return header, [_recording(path, number, line) for number, line in lines]


def read_header(path: Path) -> Header:
    """The first line alone. Raises `ConfigurationError`."""
    try:
        with path.open("rb") as file:
            return _header(path, file.readline().strip())
    except OSError as error:
        raise _unreadable(path, error) from error


def write(path: Path, header: Header, recordings: Iterable[Recording]) -> int:
    """A new cassette; how many calls are in it. Raises `FileExistsError`: a cassette is never overwritten."""
    count = 0
    with path.open("xb") as file:
        file.write(header.to_json() + b"\n")
        for recording in recordings:
            file.write(to_line(recording))
            count += 1
    return count


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    # Split at line feeds alone: a JSON text may hold every other character that ends a line somewhere.
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            yield number, line


def _header(path: Path, line: bytes) -> Header:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = None
    version = value.get("drawbar_cassette") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(version, int):
        raise ConfigurationError(
            f'{path}, line 1: this is no cassette. Its first line is a header: {{"drawbar_cassette": 1, ...}}.'
        )
    if version > VERSION:
        raise ConfigurationError(
            f"{path} has format {version} of a newer drawbar; this one reads up to {VERSION}. Update drawbar."
        )
    servers, generation = value.get("servers", {}), value.get("generation", 1)
    if not _are_servers(servers) or not isinstance(generation, int):
        raise ConfigurationError(
            f"{path}, line 1: `servers` is an object of objects whose `tools` is a list of tools with a `name`, and "
            "`generation` is a number."
        )
    more = {key: each for key, each in value.items() if key not in _KNOWN}
    environment = value.get("environment")
    return Header(servers, generation, str(value.get("recorded", "")), environment, more)


def _are_servers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(server, dict)
        and isinstance(tools := server.get("tools") or [], list)
        and all(isinstance(tool, dict) and isinstance(tool.get("name"), str) for tool in tools)
        for server in value.values()
    )


def _recording(path: Path, number: int, line: bytes) -> Recording:
    try:
        recording = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said = f"{error}"[:200]
        raise ConfigurationError(
            f"{path}, line {number}: this is no recorded call: {said}. Mend the line, or take it out."
        ) from error
    result = bytes(memoryview(recording.result)[:4])
    if (result in (b"", b"null")) == (recording.error is None):
        raise ConfigurationError(f"{path}, line {number}: a recorded call has either a `result` or an `error`.")
    if recording.error is None and not result.startswith(b"{"):
        raise ConfigurationError(f"{path}, line {number}: the `result` of a call is an object.")
    return recording


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    advice = "Record one with: drawbar run ENV --record-cassette PATH" if isinstance(error, FileNotFoundError) else ""
    return ConfigurationError(f"The cassette {path} cannot be read: {error.strerror}. {advice}".rstrip())
