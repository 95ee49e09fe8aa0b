"""Agents that name no session, started as their users start them: nothing changed but the base URL and the MCP URL.

`house` is a gateway without any session opened, a scripted model behind it and a tool server beside it; the model keeps
what it was asked and what it said, the tools what they were called with: the truth that the record is held against.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeAlias

import anyio
import pytest

from drawbar import Assignment, Environment, Outcome, Task, Trajectory
from drawbar.gateway import Gateway
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store
from drawbar.rollout.harnesses import harness_factory, load_harness
from drawbar.serving import serving
from drawbar.task import Limits
from drawbar.testing import ChatServer, Cut, Failure, Hang, Line, serve_chat
from drawbar.testing.agents import as_offered
from drawbar.tools.warden import Warden
from drawbar.wire import DIALECTS
from drawbar_harnesses.connections.pi import EXTENSION
from drawbar_harnesses.launch import inherited
from drawbar_harnesses.processes import child

Message: TypeAlias = Mapping[str, Any]
PATIENCE = 120
"""Seconds for one run of an agent."""


@dataclass(frozen=True)
class Exchange:
    """What the model was asked, in chat form, and what it said."""

    body: Mapping[str, Any]
    line: Any

    @property
    def answered(self) -> bool:
        return not isinstance(self.line, Failure | Hang | Cut)


class Model:
    """Says its lines, one per request, each tool call under an id of its own; `aside` answers what belongs to no
    conversation of ours (None: it does)."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.aside: Callable[[Mapping[str, Any]], Any] = lambda body: None
        self.same_ids = False
        """Tool calls of the same turn have the same ids in every conversation."""
        self.log: list[Exchange] = []

    def __call__(self, body: dict[str, Any]) -> Line:
        line: Any = self.aside(body)
        if line is None:
            line = self.lines.pop(0) if self.lines else Failure(400, "The script is over.")
        tools = body.get("tools") or []
        if isinstance(line, Cut):
            line = replace(line, reply=self._said(line.reply, body, tools))
        elif not isinstance(line, Failure | Hang):
            line = self._said(line, body, tools)
        self.log.append(Exchange(body, line))
        said: Line = line
        return said

    def _said(self, reply: Any, body: Mapping[str, Any], tools: Sequence[Message]) -> Any:
        turn = len(body["messages"]) if self.same_ids else len(self.log)
        said = _offered(reply, tools)
        wanted = said.get("tool_calls") or ()
        ids = [f"use_{turn}_{at}_of_the_script" for at in range(len(wanted))]
        return (
            said | {"tool_calls": [{**call, "id": id} for call, id in zip(wanted, ids, strict=True)]} if ids else said
        )

    @property
    def said(self) -> list[tuple[str, list[str]]]:
        """Of each whole reply, in order: its words and the ids of its tool calls."""
        lines = [each.line for each in self.log if each.answered]
        return [(line.get("content") or "", [call["id"] for call in line.get("tool_calls") or ()]) for line in lines]


def _offered(reply: Message, tools: Sequence[Message]) -> dict[str, Any]:
    """A reply with its tool calls under the names that are offered; through a `tool_call` tool, where one stands for
    others."""
    if not reply.get("tool_calls"):
        return dict(reply)
    said = as_offered(reply, tools)
    known = {tool["function"]["name"] for tool in tools}
    calls = said.get("tool_calls") or ()
    if "tool_call" not in known or all(call["function"]["name"] in known for call in calls):
        return said
    return {**said, "tool_calls": [_through(call, known) for call in calls]}


def _through(call: Message, known: set[str]) -> Message:
    function = call["function"]
    if function["name"] in known:
        return call
    arguments = {"name": f"mcp__wx__{function['name']}", "arguments": json.loads(function["arguments"])}
    return {**call, "function": {"name": "tool_call", "arguments": json.dumps(arguments)}}


def said_in(trajectory: Trajectory) -> list[tuple[str, list[str]]]:
    """What a record knows of whole replies, as `Model.said` tells it."""
    told = [call.message for call in trajectory.calls if call.status == "answered" and call.message is not None]
    return [(message.text, [use.id for use in message.tool_uses]) for message in told]


@dataclass
class House:
    """A served gateway that knows no session."""

    path: Path
    model: Model
    server: ChatServer
    towns: list[str] = field(default_factory=list)
    """What the tool was called with."""
    gateway: Gateway = field(init=False)
    url: str = field(init=False, default="")
    _port: int = field(init=False, default=0)

    async def __aenter__(self) -> Self:
        self._stack = stack = AsyncExitStack()
        models = Models(base_url=self.server.base_url, api_key="provider-secret", dialects=tuple(DIALECTS))
        store = Store.open(self.path)
        stack.callback(store.close)
        settings = Settings(retries=RetryPolicy(attempts=1))
        environment = Environment(name="weather", tools=[self._tool()], tasks=[Task(key="none", prompt="none")])
        gateway = Gateway(store, models, environments={"weather": environment}, settings=settings)
        self.gateway = await stack.enter_async_context(gateway)
        self.url = await stack.enter_async_context(serving(gateway, port=self._port, grace=1))
        self._port = int(self.url.rpartition(":")[2])
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def restart(self) -> None:
        """Stop the gateway, and start another one on its port and its store."""
        await self.__aexit__()
        await self.__aenter__()

    def _tool(self) -> Callable[..., Any]:
        async def weather(town: str) -> str:
            """The weather in a town."""
            self.towns.append(town)
            return f"It rains in {town}."

        return weather

    @property
    def mcp_url(self) -> str:
        return f"{self.url}/mcp/weather"

    async def sessions(self) -> list[Trajectory]:
        """The live sessions with a model call, the oldest first."""
        await self.gateway.recorder.commit()
        rows = sorted(self.gateway.store.sessions(), key=lambda row: row.started)
        found = [self.gateway.store.trajectory(row.id) for row in rows]
        return [trajectory for trajectory in found if trajectory.calls]

    async def session(self) -> Trajectory:
        """The only one, which is held against what the model and the tools saw."""
        (found,) = await self.sessions()
        assert len(found.calls) == len(self.model.log)
        assert said_in(found) == self.model.said
        called = [call.arguments["town"] for call in found.tool_calls if "town" in call.arguments]
        assert sorted(called) == sorted(self.towns)  # the tool itself sees no call without its argument
        asked = {use.id for call in found.calls if call.message is not None for use in call.message.tool_uses}
        assert {call.tool_use_id for call in found.tool_calls} <= asked
        return found


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    model = Model()
    async with serve_chat(model) as server, House(tmp_path / "live.db", model, server) as house:
        yield house


Worked: TypeAlias = Callable[[str, str], Coroutine[Any, Any, Outcome]]


@pytest.fixture
def worked(request: pytest.FixtureRequest, house: House) -> Worked:
    """The agent of a Python framework that is the test's parameter `name`: its program as a user would write it."""
    wanted = request.node.callspec.params["name"]
    if not harness_factory(wanted).install.installed:
        pytest.skip(f"not installed: drawbar harness install {wanted}")

    async def run(
        name: str, dialect: str = "chat", prompt: str = "Is it raining in Ghent, Bath and Bruges?"
    ) -> Outcome:
        task = Task(key="live", prompt="Is it raining in Ghent, Bath and Bruges?")
        assignment = Assignment(
            session=f"live-{id(task)}", key="sk-user", base_url=house.url, mcp_url=house.mcp_url, model="scripted",
            messages=task.messages, task=task, limits=Limits(seconds=PATIENCE),
        )  # fmt: skip
        return await load_harness(name, {"dialect": dialect}).run(assignment)

    return run


@dataclass(frozen=True)
class Ran:
    """How one run of an agent ended."""

    status: int | None
    stdout: str
    stderr: str

    def __str__(self) -> str:
        return f"status {self.status}\n{self.stdout[-3000:]}\n{self.stderr[-3000:]}"


class User:
    """Somebody who uses a command-line agent, in a home and a folder of their own."""

    def __init__(self, name: str, house: House, root: Path) -> None:
        self.name, self.house = name, house
        self.home, self.folder = root / "home", root / "work"
        (self.home / "tmp").mkdir(parents=True)
        self.folder.mkdir()
        self.program, self.node = harness_factory(name).install.need()
        self.options: dict[str, Any] = {}

    def write(self, path: str, content: Any) -> None:
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content), encoding="utf-8")

    async def ask(self, prompt: str, *, again: bool = False) -> Ran:
        """One run of it; `again`: going on with the last conversation."""
        arguments, variables = STARTS[self.name](self, prompt, again)
        mark = f"DRAWBAR_TEST={self.home}"
        env = {
            **inherited(), "HOME": str(self.home), "TMPDIR": str(self.home / "tmp"), "TERM": "dumb", "NO_COLOR": "1",
            "PATH": os.pathsep.join([str(self.node), os.environ["PATH"]]), "DRAWBAR_TEST": str(self.home), **variables,
        }  # fmt: skip
        warden = Warden()
        try:
            command = [str(self.program), *arguments]
            async with child(command, env=env, cwd=self.folder, mark=mark, warden=warden) as running:
                status = None
                with anyio.move_on_after(PATIENCE):
                    status = await running.wait()
            return Ran(status, running.stdout, running.stderr)
        finally:
            await warden.close()


Start: TypeAlias = tuple[list[str], dict[str, str]]


def _gemini(user: User, prompt: str, again: bool) -> Start:
    servers = {"wx": {"httpUrl": user.house.mcp_url, "trust": True}}
    user.write(".gemini/settings.json", {
        "mcpServers": servers, "privacy": {"usageStatisticsEnabled": False},
        "security": {"auth": {"selectedType": "gemini-api-key"}}, "general": {"enableAutoUpdate": False},
        **user.options,
    })  # fmt: skip
    model = user.options.get("-m", "scripted")
    more = ["--resume", "latest"] if again else []
    variables = {
        "GEMINI_API_KEY": "sk-user", "GOOGLE_GEMINI_BASE_URL": user.house.url, "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GEMINI_TELEMETRY_ENABLED": "false", "GEMINI_CLI_NO_RELAUNCH": "true",
    }  # fmt: skip
    return ["--yolo", "--skip-trust", "-m", model, "--output-format", "json", *more, "-p", prompt], variables


def _qwen(user: User, prompt: str, again: bool) -> Start:
    user.write(".qwen/settings.json", {
        "mcpServers": {"wx": {"httpUrl": user.house.mcp_url, "trust": True}},
        "privacy": {"usageStatisticsEnabled": False}, "security": {"auth": {"selectedType": "openai"}},
        "general": {"enableAutoUpdate": False, "disableAutoUpdate": True}, **user.options,
    })  # fmt: skip
    variables = {"OPENAI_BASE_URL": f"{user.house.url}/v1", "OPENAI_API_KEY": "sk-user", "OPENAI_MODEL": "scripted"}
    more = ["--continue"] if again else []
    quiet = {"QWEN_CODE_NO_RELAUNCH": "1", "QWEN_CODE_SUPPRESS_YOLO_WARNING": "1"}
    return ["--yolo", "--auth-type", "openai", "--output-format", "json", *more, "-p", prompt], variables | quiet


def _copilot(user: User, prompt: str, again: bool) -> Start:
    user.write(".copilot/mcp-config.json", {
        "mcpServers": {"wx": {"type": "http", "url": user.house.mcp_url, "tools": ["*"]}}
    })  # fmt: skip
    wire = user.options.get("wire", "completions")
    kind = "anthropic" if wire == "messages" else "openai"
    variables = {
        "COPILOT_OFFLINE": "true", "COPILOT_AUTO_UPDATE": "false", "COPILOT_PROVIDER_TYPE": kind,
        "COPILOT_PROVIDER_BASE_URL": user.house.url + ("" if kind == "anthropic" else "/v1"),
        "COPILOT_PROVIDER_API_KEY": "sk-user", "COPILOT_MODEL": user.options.get("model", "scripted"),
    }  # fmt: skip
    if kind == "openai":
        variables["COPILOT_PROVIDER_WIRE_API"] = wire
    variables |= user.options.get("variables", {})
    more = ["--continue"] if again else []
    return ["--allow-all-tools", "--no-auto-update", "--disable-builtin-mcps", *more, "-p", prompt], variables


def _cline(user: User, prompt: str, again: bool) -> Start:
    server = {"transport": {"type": "streamableHttp", "url": user.house.mcp_url}}
    user.write(".cline/data/settings/cline_mcp_settings.json", {"mcpServers": {"wx": server}})
    name = "openai-compatible"
    settings = {"provider": name, "apiKey": "sk-user", "model": "scripted", "baseUrl": f"{user.house.url}/v1"}
    provider = {"settings": settings, "updatedAt": "2026-01-01T00:00:00.000Z", "tokenSource": "manual"}
    given = {"version": 1, "lastUsedProvider": name, "modes": {}, "providers": {name: provider}}
    user.write(".cline/data/settings/providers.json", given)
    user.write(".cline/data/settings/global-settings.json", {"telemetryOptOut": True, "autoUpdateEnabled": False})
    assert not again, "it takes no prompt together with a session to go on with"
    return ["--json", "--auto-approve", "true", "--", prompt], {"OTEL_SDK_DISABLED": "true"}


def _pi(user: User, prompt: str, again: bool) -> Start:
    api = user.options.get("api", "openai-completions")
    base = user.house.url if api == "anthropic-messages" else f"{user.house.url}/v1"
    provider = {"baseUrl": base, "api": api, "apiKey": "sk-user", "models": [{"id": "scripted", "reasoning": True}]}
    user.write(".pi/agent/models.json", {"providers": {"fake": provider}})
    variables = {"PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1", "DRAWBAR_MCP_URL": user.house.mcp_url}
    more = ["--continue"] if again else []
    known = ["--provider", "fake", "--model", "scripted", "--mode", "json", "--extension", str(EXTENSION)]
    return [*known, *more, "-p", prompt], variables


@pytest.fixture
def user(request: pytest.FixtureRequest, house: House, tmp_path: Path) -> User:
    """Somebody who uses the agent of `request.param`, which may bring options: (name, {...})."""
    name, options = request.param if isinstance(request.param, tuple) else (request.param, {})
    if not harness_factory(name).install.installed:
        pytest.skip(f"not installed: drawbar harness install {name}")
    made = User(name, house, tmp_path / "user")
    made.options |= options
    return made


STARTS: dict[str, Callable[[User, str, bool], Start]] = {
    "gemini_cli": _gemini, "qwen_code": _qwen, "copilot": _copilot, "cline": _cline, "pi": _pi,
}  # fmt: skip
