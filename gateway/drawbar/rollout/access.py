"""The seam between the engine and a gateway: the one in this process, or another by its HTTP control API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.to_thread

from drawbar.record.rows import RunRow, ScoreRow
from drawbar.rollout.result import RolloutResult
from drawbar.sessions import SessionSpec
from drawbar.trajectory import Trajectory

if TYPE_CHECKING:
    from drawbar.gateway import Gateway


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that was opened for a rollout."""

    id: str
    key: str
    base_url: str
    """Its URL prefix, the key in it."""

    @property
    def mcp_url(self) -> str:
        return self.base_url + "/mcp"

    @property
    def user_url(self) -> str:
        """Where the user replies to the agent's final answers."""
        return self.base_url + "/user"


class GatewayAccess(Protocol):
    """What the engine needs of a gateway. Every method may raise `StoreError`: then nothing can be recorded."""

    async def open(self, spec: SessionSpec, /) -> OpenSession:
        """Durable when it returns. Raises `ToolServerError` when the environment's tools cannot be had."""

    async def end(self, session: str, /, *, stop: str, error: str | None, metadata: Mapping[str, Any]) -> None:
        """The gateway may know a better cause than the harness: the trajectory has the one that holds."""

    async def trajectory(self, session: str, /) -> Trajectory: ...

    async def record(self, *rows: RunRow | ScoreRow) -> None:
        """Durable when it returns."""

    async def results(self, run: str, /) -> list[RolloutResult]:
        """Of every session of the run, failed attempts included."""

    async def ask(self, model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        """One chat completion outside any session, for judges."""


class LocalAccess:
    """A gateway in this process, served at `url` so that harnesses reach it by HTTP."""

    def __init__(self, gateway: Gateway, url: str) -> None:
        self._gateway = gateway
        self._url = url

    async def open(self, spec: SessionSpec, /) -> OpenSession:
        session = await self._gateway.open(spec)
        return OpenSession(session.id, session.key, f"{self._url}/s/{session.key}")

    async def end(self, session: str, /, *, stop: str, error: str | None, metadata: Mapping[str, Any]) -> None:
        await self._gateway.end(session, stop=stop, error=error, metadata=metadata)

    async def trajectory(self, session: str, /) -> Trajectory:
        return await self._gateway.checkups.trajectory(session)

    async def record(self, *rows: RunRow | ScoreRow) -> None:
        await self._gateway.record(*rows)

    async def results(self, run: str, /) -> list[RolloutResult]:
        def load() -> list[RolloutResult]:
            return [RolloutResult.of(trajectory) for trajectory in self._gateway.store.trajectories(run=run)]

        return await anyio.to_thread.run_sync(load)

    async def ask(self, model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        completion: Mapping[str, Any] = await self._gateway.models.chat(model, body)
        return completion
