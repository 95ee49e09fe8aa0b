"""A desk for any harness: a session of a real gateway, with a scripted model behind it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drawbar import Assignment, Environment, Outcome, Task, Trajectory
from drawbar.gateway import Gateway
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.models import CUSTOM_DIALECTS, Models
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store
from drawbar.rollout.access import LocalAccess
from drawbar.serving import serving
from drawbar.sessions import SessionSpec
from drawbar.testing import ChatServer, serve_chat

AGENT = Path(__file__).with_name("agent_program.py")
"""An agent as a program: what the command harness runs in the contract suite."""


@dataclass
class Desk:
    """Where a harness works."""

    access: LocalAccess
    server: ChatServer
    environment: Environment
    opened: list[str] = field(default_factory=list)

    async def assignment(self, **changes: Any) -> Assignment:
        """A new session's work order."""
        task = changes.pop("task", None) or next(self.environment.iter_tasks(1))
        limits = changes.get("limits", self.environment.limits)
        session = await self.access.open(
            SessionSpec(environment=self.environment.name, task=task, model="scripted", limits=limits)
        )
        self.opened.append(session.id)
        given = {
            "session": session.id, "key": session.key, "base_url": session.base_url, "mcp_url": session.mcp_url,
            "model": "scripted", "messages": task.messages, "task": task, "limits": limits, **changes,
        }  # fmt: skip
        return Assignment(**given)

    async def ended(self, assignment: Assignment, outcome: Outcome) -> Trajectory:
        """What was recorded once the engine has ended the session."""
        await self.access.end(assignment.session, stop=outcome.stop, error=outcome.error, metadata={})
        return await self.access.trajectory(assignment.session)


async def weather(town: str) -> str:
    """The weather in a town."""
    if town == "nowhere":
        raise ValueError("there is no such town")
    return f"It rains in {town}."


DeskAt = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def desk_at(tmp_path: Path) -> DeskAt:
    @asynccontextmanager
    async def made(
        lines: Any, *, in_order: bool = False, speaks: Sequence[str] = CUSTOM_DIALECTS, **changes: Any
    ) -> AsyncIterator[Desk]:
        tasks = [Task(key="t", prompt="Is it raining in Ghent?", answer="the secret answer", system="Be brief.")]
        environment = Environment(**{"name": "weather", "tools": [weather], "tasks": tasks, **changes})
        store = Store.open(tmp_path / "desk.db")
        async with serve_chat(lines, in_order=in_order) as server:
            models = Models(base_url=server.base_url, api_key="provider-secret", dialects=speaks)
            settings = Settings(retries=RetryPolicy(attempts=2, first_wait=0.0))
            gateway = Gateway(store, models, environments={environment.name: environment}, settings=settings)
            async with gateway, serving(gateway, grace=1) as url:
                yield Desk(LocalAccess(gateway, url), server, environment)
        store.close()

    return made


@pytest.fixture
def program() -> list[str]:
    return [sys.executable, str(AGENT)]
