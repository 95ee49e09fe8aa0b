"""Pausing, draining and the policy's version: what a trainer steers rollouts with while it changes weights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drawbar.proxy.models import Models


class Steering:
    """Of one gateway. Paused: model calls of rollouts that have not been sent wait, and no rollout begins. Draining: no
    rollout begins, and those under way end as they would."""

    def __init__(self, most: int) -> None:
        """`most`: rollouts at a time."""
        self.version: str | None = None
        """The policy's, as the trainer told it last."""
        self.paused = False
        self.draining = False
        self.calls = 0
        """Model calls under way."""
        self.rollouts = 0
        """Rollouts under way."""
        self._most = most
        self._changed = asyncio.Event()

    def to_json(self) -> dict[str, object]:
        return {
            "policy_version": self.version, "paused": self.paused, "draining": self.draining,
            "rollouts_under_way": self.rollouts, "calls_under_way": self.calls,
        }  # fmt: skip

    def steer(self, *, paused: bool, draining: bool) -> None:
        """From now on."""
        self.paused, self.draining = paused, draining
        self._tell()

    async def quiet(self) -> None:
        """Wait until nothing is under way that was not to begin any more: calls, or with `draining` rollouts."""
        await self._until(lambda: not (self.rollouts if self.draining else self.calls))

    async def enter(self) -> None:
        """A rollout wants to begin; it waits until it may."""
        await self._until(lambda: not self.paused and not self.draining and self.rollouts < self._most)
        self.rollouts += 1

    def leave(self) -> None:
        """A rollout that had begun is over."""
        self.rollouts -= 1
        self._tell()

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """A model call; it waits until it may begin."""
        await self._until(lambda: not self.paused)
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1
            self._tell()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model calls of a rollout go, and who says when."""

    models: Models | None
    """None: where those of others go."""
    steering: Steering
    claimed: str | None = None
    """The policy's version, as the rollout's request had it."""

    @property
    def policy_version(self) -> str | None:
        """Of a call that begins now."""
        return self.steering.version or self.claimed
