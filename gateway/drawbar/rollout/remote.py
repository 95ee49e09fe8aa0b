"""A gateway that runs elsewhere, by its HTTP control API: what `drawbar run --gateway URL` uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import orjson

from drawbar.errors import ConfigurationError, StoreError, ToolServerError, UnknownName
from drawbar.proxy.spec_json import spec_to_json
from drawbar.proxy.trajectory_json import trajectory_from_json
from drawbar.record.rows import RunRow, ScoreRow
from drawbar.rollout.access import OpenSession
from drawbar.rollout.result import RolloutResult
from drawbar.sessions import SessionSpec
from drawbar.trajectory import Trajectory

IDLE_SECONDS = 60.0
"""Kept-alive connections go before the gateway drops them (it waits 75 s)."""


class RemoteAccess:
    """A `GatewayAccess` over HTTP. Use `connected`."""

    def __init__(self, client: aiohttp.ClientSession, url: str) -> None:
        self._client = client
        self._url = url

    async def open(self, spec: SessionSpec, /) -> OpenSession:
        opened = orjson.loads(await self._ask("POST", "/api/sessions", spec_to_json(spec)))
        return OpenSession(opened["id"], opened["key"], self._url + opened["path"])

    async def end(self, session: str, /, *, stop: str, error: str | None, metadata: Mapping[str, Any]) -> None:
        body = orjson.dumps({"stop": stop, "error": error, "metadata": dict(metadata)})
        await self._ask("POST", f"/api/sessions/{session}/end", body)

    async def trajectory(self, session: str, /) -> Trajectory:
        return trajectory_from_json(await self._ask("GET", f"/api/sessions/{session}/trajectory"))

    async def record(self, *rows: RunRow | ScoreRow) -> None:
        scores: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            if isinstance(row, RunRow):
                await self._ask("PUT", f"/api/runs/{row.id}", _as_json(row, "config"))
            else:
                scores[row.session].append(orjson.loads(_as_json(row, "usage")))
        for session, given in scores.items():
            await self._ask("POST", f"/api/sessions/{session}/scores", orjson.dumps({"scores": given}))

    async def results(self, run: str, /) -> list[RolloutResult]:
        found = orjson.loads(await self._ask("GET", f"/api/runs/{run}/trajectories"))["trajectories"]
        return [RolloutResult.of(trajectory_from_json(orjson.dumps(trajectory))) for trajectory in found]

    async def ask(self, model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        request = orjson.dumps({**body, "model": model})
        completion: Mapping[str, Any] = orjson.loads(await self._ask("POST", "/api/complete", request))
        return completion

    async def run(self, prefix: str) -> RunRow:
        """The run whose id begins so. Raises `UnknownName`."""
        found = orjson.loads(await self._ask("GET", f"/api/runs/{prefix}"))
        return msgspec.structs.replace(
            msgspec.convert({**found, "config": b""}, RunRow), config=orjson.dumps(found["config"])
        )

    async def serves(self, environment: str) -> None:
        """Raises `UnknownName` unless the gateway serves this environment."""
        listed = orjson.loads(await self._ask("GET", "/api/environments"))["environments"]
        names = [known["name"] for known in listed]
        if environment not in names:
            raise UnknownName(
                f"environment at {self._url}", environment, names, "Start it with: drawbar serve ENVIRONMENT"
            )

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            async with self._client.request(method, self._url + path, data=body) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StoreError(
                f"The gateway at {self._url} cannot be reached: {str(error) or 'it does not answer'}."
            ) from error
        if response.status != 200:
            raise _translated(self._url, response.status, content)
        return content


def _as_json(row: RunRow | ScoreRow, raw: str) -> bytes:
    """A row's fields; one of them is JSON already."""
    value = msgspec.structs.asdict(row)
    if value[raw] is not None:
        value[raw] = orjson.Fragment(value[raw])
    return orjson.dumps(value)


def _translated(url: str, status: int, content: bytes) -> Exception:
    """The gateway's refusal as the exception that the same trouble raises in this process."""
    try:
        error = orjson.loads(content)["error"]
        message, code = str(error["message"]), str(error.get("code"))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message, code = content[:200].decode(errors="replace"), ""
    if code == "tool_server_failed":
        return ToolServerError(message)
    if status in (401, 403):
        return ConfigurationError(
            f"The gateway at {url}: {message} `--gateway-key-env` names the variable that holds it."
        )
    if status >= 500:
        return StoreError(f"The gateway at {url}: {message}")
    return ConfigurationError(f"The gateway at {url} answered {status}: {message or 'is it a drawbar gateway?'}")


@asynccontextmanager
async def connected(url: str, key: str | None) -> AsyncIterator[RemoteAccess]:
    """The gateway at `url` (with or without a slash at its end); `key` is its admin key."""
    headers = {"Content-Type": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as client:
        yield RemoteAccess(client, url.rstrip("/"))
