"""The wiki environment played by any harness, with what each side saw kept by that side alone.

The scripted model stands behind a real HTTP server and keeps what it was asked and what it said; the wiki's tools keep
what they were called with and what they answered; an onlooker before the gateway keeps which revision of MCP was
spoken. None of them knows the record that they are to be held against.
"""

from __future__ import annotations

import functools
import inspect
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from drawbar import Assignment, Environment, Harness, Outcome, Task, Trajectory
from drawbar.gateway import Gateway
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store
from drawbar.rollout.access import LocalAccess
from drawbar.score import score
from drawbar.serving import serving
from drawbar.sessions import SessionSpec
from drawbar.testing import Failure, Line, serve_chat
from drawbar.testing.agents import as_offered
from drawbar.wire import DIALECTS
from drawbar_wiki_search.environment import load_environment

Message: TypeAlias = Mapping[str, Any]
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"


@dataclass(frozen=True)
class Exchange:
    """What the model was asked, in chat form, and what it said."""

    asked: Sequence[Message]
    tools: Sequence[str]
    said: Message


@dataclass(frozen=True)
class Served:
    """What a tool was called with, and what it answered."""

    tool: str
    arguments: Mapping[str, Any]
    """Without those that are the tool's defaults: they were filled in on the way."""
    text: str
    failed: bool


@dataclass
class Play:
    """One task as the harness played it: what the model's side and the tools' side saw, and what was recorded."""

    task: Task
    exchanges: list[Exchange] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    revisions: set[str] = field(default_factory=set)
    """Of MCP, as the harness named them in requests that were no more than a question for them."""
    seconds: float = 0.0
    outcome: Outcome = field(default_factory=Outcome)
    trajectory: Trajectory = field(default_factory=lambda: Trajectory(id=""))


class Stage:
    """A gateway with the wiki environment on one side and a scripted model on the other."""

    def __init__(self) -> None:
        self.environment = self._logged(load_environment())
        self.lines: Sequence[Message] = ()
        self.play = Play(Task(key="none", prompt="Nothing yet."))
        self.access: LocalAccess

    async def run(self, harness: Harness, task: Task, lines: Sequence[Message] = (), model: str = "scripted") -> Play:
        """Let the harness do this task, with a model that says these lines, or with one of the environment's."""
        self.lines, self.play = lines, Play(task)
        spec = SessionSpec(environment="wiki_search", task=task, model=model, harness=harness.name)
        session = await self.access.open(replace(spec, limits=self.environment.limits))
        assignment = Assignment(
            session=session.id, key=session.key, base_url=session.base_url, mcp_url=session.mcp_url, model=model,
            messages=task.messages, task=task, limits=self.environment.limits,
        )  # fmt: skip
        began = time.monotonic()
        outcome = self.play.outcome = await harness.run(assignment)
        self.play.seconds = time.monotonic() - began
        await self.access.end(session.id, stop=outcome.stop, error=outcome.error, metadata={})
        self.play.trajectory = await self.access.trajectory(session.id)
        return self.play

    async def reward(self, play: Play) -> float | None:
        """What the environment's own rubric says of it."""
        rows = await score(self.environment.scoring, play.trajectory, judge=None, ask=self.access.ask)
        await self.access.record(*rows)
        return (await self.access.trajectory(play.trajectory.id)).reward

    def answer(self, body: Mapping[str, Any]) -> Line:
        """What the model says to a request; kept."""
        messages, tools, turn = body["messages"], body.get("tools") or [], len(self.play.exchanges)
        if turn >= len(self.lines):
            return Failure(500, f"The script has {len(self.lines)} lines; turn {turn + 1} was asked for.")
        said = as_offered(self.lines[turn], tools)
        self.play.exchanges.append(Exchange(messages, [tool["function"]["name"] for tool in tools], said))
        return said

    def _logged(self, environment: Environment) -> Environment:
        return replace(environment, tools=[self._logging(tool) for tool in environment.tools])

    def _logging(self, tool: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
        name = tool.__name__
        defaults = {name: each.default for name, each in inspect.signature(tool).parameters.items()}

        @functools.wraps(tool)
        async def called(**filled: Any) -> str:
            arguments = {name: value for name, value in filled.items() if value != defaults[name]}
            try:
                said = await tool(**filled)
            except Exception as error:
                self.play.served.append(Served(name, arguments, str(error), failed=True))
                raise
            self.play.served.append(Served(name, arguments, said, failed=False))
            return said

        return called

    def overlooked(self, app: Any) -> Any:
        """The gateway, with an eye on what is sent to its MCP endpoint."""

        async def seen(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or not scope["path"].endswith("/mcp") or scope["method"] != "POST":
                await app(scope, receive, send)
                return
            body = bytearray()

            async def heard() -> Any:
                event = await receive()
                body.extend(event.get("body", b""))
                return event

            await app(scope, heard, send)
            self.play.revisions.update(_revisions(bytes(body), dict(scope["headers"])))

        return seen


def _revisions(body: bytes, headers: Mapping[bytes, bytes]) -> Iterator[str]:
    """The revision in which a tool was called, or a session begun."""
    request = json.loads(body or b"{}")
    params = request.get("params") or {}
    if request.get("method") == "initialize":
        yield params["protocolVersion"]
    elif request.get("method") == "tools/call" and VERSION_KEY in (params.get("_meta") or {}):
        yield headers[b"mcp-protocol-version"].decode()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with _stage(tmp_path) as made:
        yield made


@asynccontextmanager
async def _stage(folder: Path) -> AsyncIterator[Stage]:
    stage = Stage()
    store = Store.open(folder / "wiki.db")
    async with serve_chat(stage.answer) as server:
        models = Models(base_url=server.base_url, api_key="provider-secret", dialects=tuple(DIALECTS))
        settings = Settings(retries=RetryPolicy(attempts=1))
        gateway = Gateway(store, models, environments={"wiki_search": stage.environment}, settings=settings)
        async with gateway, serving(stage.overlooked(gateway), grace=1) as url:
            stage.access = LocalAccess(gateway, url)
            yield stage
    store.close()
