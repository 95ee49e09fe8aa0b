"""Agents as their users have them: started with nothing changed but the addresses of model and tools.

A scripted model stands behind the gateway; its log of what it was asked is the truth that the record is held against.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from drawbar import Environment, Trajectory
from drawbar.gateway import Gateway
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store
from drawbar.rollout.harnesses import harness_factory
from drawbar.serving import serving
from drawbar.sessions import Session, SessionSpec
from drawbar.testing import ChatServer, Cut, Line, Received, says, serve_chat
from drawbar.testing.agents import as_offered
from drawbar.tools.warden import Warden
from drawbar.wire import DIALECTS
from drawbar.wire.route import read_route
from drawbar_harnesses.launch import inherited
from drawbar_harnesses.processes import child

TITLE = "Rain in Flanders"
"""What is answered to requests that offer no tools and carry no line of their own."""
SECONDS = 150.0
"""For one run of an agent."""


async def weather(town: str) -> str:
    """The weather in a town."""
    return f"It rains in {town}."


Lines = Sequence[Line] | Callable[[dict[str, Any]], Line]


class Play:
    """Lines that are used up one by one by requests that offer tools, whoever asks; others are told a title.

    Tool calls are made under the names that each request gives to the tools.
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        self.left = list(lines)

    def __call__(self, body: dict[str, Any]) -> Line:
        if not body.get("tools"):
            return says(TITLE)
        return renamed(self.left.pop(0), body) if self.left else says("There is nothing more to say.")


def renamed(line: Line, body: Mapping[str, Any]) -> Line:
    """A line with its tool calls under the names that a request offers."""
    if isinstance(line, Cut) and isinstance(line.reply, Mapping):
        return replace(line, reply=as_offered(line.reply, body["tools"]))
    return as_offered(line, body["tools"]) if isinstance(line, Mapping) else line


@dataclass(frozen=True)
class Record:
    """A recorded session, as tests look at it."""

    trajectory: Trajectory

    @property
    def asked(self) -> list[list[bytes]]:
        """Of each call the messages of its request, in canonical form."""
        paths = (self.trajectory.path(call.request) for call in self.trajectory.calls)
        return [[DIALECTS[node.dialect].canonical(node.body) for node in path] for path in paths]

    @property
    def tree(self) -> list[tuple[str, int | None, str | None]]:
        """Of each call its end, the position of the one that it follows, and how."""
        seqs = {call.id: call.seq for call in self.trajectory.calls}
        return [
            (call.status, seqs[call.follows] if call.follows else None, call.edge) for call in self.trajectory.calls
        ]

    @property
    def threads(self) -> dict[str, list[int]]:
        """The positions of the calls of each thread, by its name."""
        return {thread.name: [call.seq for call in thread.calls] for thread in self.trajectory.threads}

    @property
    def said(self) -> list[str]:
        """What the model says in the main conversation, its tool calls by the towns that they ask about."""
        return [
            message.text + "".join(f"[{(use.arguments or {}).get('town')}]" for use in message.tool_uses)
            for message in self.trajectory.messages
            if message.role == "assistant"
        ]

    @property
    def tools(self) -> list[tuple[str, str | None]]:
        """The tool calls: their results, and whether the model was shown them."""
        return [(call.text, call.seen) for call in self.trajectory.tool_calls]

    @property
    def findings(self) -> set[str]:
        return {finding.name for finding in self.trajectory.health}


@dataclass
class Site:
    """A gateway that is served, and what stands behind it."""

    gateway: Gateway
    url: str
    server: ChatServer

    @property
    def requests(self) -> list[Received]:
        """What the scripted model was asked to say: the truth."""
        return self.server.requests

    @property
    def asked(self) -> list[list[bytes]]:
        """Of each request the messages, in canonical form."""
        return [_canonical(received) for received in self.requests]

    async def open(self, **spec: Any) -> Session:
        return await self.gateway.open(SessionSpec(environment="weather", **spec))

    async def records(self) -> list[Record]:
        """All sessions with calls, the oldest first."""
        await self.gateway.recorder.commit()
        store = self.gateway.store
        found = [store.trajectory(row.id) for row in sorted(store.sessions(), key=lambda row: row.started)]
        return [Record(trajectory) for trajectory in found if trajectory.calls]

    async def record(self) -> Record:
        """The only one."""
        (record,) = await self.records()
        return record


def _canonical(received: Received) -> list[bytes]:
    route = read_route(received.path, "")
    assert route is not None
    return [route.dialect.canonical(message) for message in route.split(received.raw).messages]


SiteAt = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def site_at(tmp_path: Path) -> SiteAt:
    """Serves a gateway on the test's store; again, if it is used again."""

    @asynccontextmanager
    async def made(lines: Lines, tools: Sequence[Any] = (weather,)) -> AsyncIterator[Site]:
        environment = Environment(name="weather", tools=list(tools))
        store = Store.open(tmp_path / "live.db")
        play = lines if callable(lines) else Play(lines)
        async with serve_chat(play) as server:
            models = Models(base_url=server.base_url, api_key="provider-secret")
            settings = Settings(retries=RetryPolicy(attempts=1))
            gateway = Gateway(store, models, environments={"weather": environment}, settings=settings)
            async with gateway, serving(gateway, grace=1) as url:
                yield Site(gateway, url, server)
        store.close()

    return made


@dataclass(frozen=True)
class Ran:
    """How a run of an agent went."""

    status: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        return f"status {self.status}\n{self.stdout[-3000:]}\n{self.stderr[-3000:]}"


@dataclass
class Agent(ABC):
    """One user's agent: a home, and a folder to work in."""

    name: ClassVar[str]
    home: Path
    key: str = "sk-user"
    options: dict[str, Any] = field(default_factory=dict)
    """Of its own configuration."""

    async def run(self, site: Site, prompt: str, *, again: bool = False, session: Session | None = None) -> Ran:
        """Start it with a prompt; with `again`, on the conversation that it had last. `session`: inside this one."""
        for folder in (self.home / "tmp", self.home / "work"):
            folder.mkdir(parents=True, exist_ok=True)
        root = site.url if session is None else f"{site.url}/s/{session.key}"
        tools = f"{site.url}/mcp/weather" if session is None else f"{root}/mcp"
        command, variables = self.start(root, tools, prompt, again)
        program, node = harness_factory(self.name).install.need()
        env = self._environment() | variables
        env["PATH"] = os.pathsep.join([str(node), env.get("PATH", os.defpath)])
        warden = Warden()
        mark = f"DRAWBAR_TEST={self.home}"
        env["DRAWBAR_TEST"] = str(self.home)
        async with child(
            [str(program), *command], env=env, cwd=self.home / "work", mark=mark, warden=warden
        ) as running:
            with anyio.fail_after(SECONDS):
                status = await running.wait()
        await warden.close()
        return Ran(status, running.stdout, running.stderr)

    @abstractmethod
    def start(self, root: str, tools: str, prompt: str, again: bool) -> tuple[list[str], dict[str, str]]:
        """Write its configuration; its arguments and variables."""

    def _environment(self) -> dict[str, str]:
        home = self.home
        return inherited() | {
            "HOME": str(home), "TMPDIR": str(home / "tmp"), "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_DATA_HOME": str(home / ".local/share"), "XDG_STATE_HOME": str(home / ".local/state"),
            "XDG_CACHE_HOME": str(home / ".cache"), "XDG_RUNTIME_DIR": str(home / "tmp"), "TERM": "dumb",
            "NO_COLOR": "1", "DO_NOT_TRACK": "1",
        }  # fmt: skip

    def write(self, path: str, content: str | Mapping[str, Any]) -> Path:
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file


class ClaudeCode(Agent):
    """`options["tools"]`: of its own."""

    name = "claude_code"

    def start(self, root: str, tools: str, prompt: str, again: bool) -> tuple[list[str], dict[str, str]]:
        servers = {"mcpServers": {"weather": {"type": "http", "url": tools}}}
        allowed = ["mcp__weather", *self.options.get("tools", ())]
        arguments = [
            "--print", "--output-format", "json", "--model", "claude-sonnet-4-5", "--strict-mcp-config",
            "--mcp-config", str(self.write("mcp.json", servers)), "--tools", ",".join(self.options.get("tools", ())),
            "--allowedTools", ",".join(allowed), *(["--continue"] if again else []),
        ]  # fmt: skip
        variables = {
            "ANTHROPIC_BASE_URL": root, "ANTHROPIC_API_KEY": self.key, "ENABLE_TOOL_SEARCH": "false",
            "CLAUDE_CONFIG_DIR": str(self.home / ".claude"), "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "MCP_CONNECTION_NONBLOCKING": "0",
        }  # fmt: skip
        return [*arguments, "--", prompt], variables


class Codex(Agent):
    """`options`: lines of its configuration, `features` among them."""

    name = "codex"

    def start(self, root: str, tools: str, prompt: str, again: bool) -> tuple[list[str], dict[str, str]]:
        values = {"model": "gpt-5", "model_provider": "gateway", "approval_policy": "never", **self.options}
        tables: dict[str, Any] = {
            "features": {"plugins": False, "apps": False, **values.pop("features", {})},
            "analytics": {"enabled": False},
            "model_providers.gateway": {
                "name": "gateway", "base_url": f"{root}/v1", "wire_api": "responses", "env_key": "USER_KEY",
            },
            "mcp_servers.weather": {"url": tools, "default_tools_approval_mode": "approve", "required": True},
        }  # fmt: skip
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        self.write(".codex/config.toml", "\n".join(lines) + "\n")
        verb = ["exec", "--skip-git-repo-check", "--json", *(["resume", "--last"] if again else [])]
        return [*verb, prompt], {"CODEX_HOME": str(self.home / ".codex"), "USER_KEY": self.key}


class Opencode(Agent):
    """`options["limit"]`: of the model."""

    name = "opencode"

    def start(self, root: str, tools: str, prompt: str, again: bool) -> tuple[list[str], dict[str, str]]:
        model: dict[str, Any] = {"name": "m", "tool_call": True, **self.options}
        configuration = {
            "autoupdate": False, "share": "disabled", "permission": {"*": "allow"},
            "provider": {"gateway": {
                "npm": "@ai-sdk/openai-compatible", "name": "gateway", "models": {"m": model},
                "options": {"baseURL": f"{root}/v1", "apiKey": self.key},
            }},
            "mcp": {"weather": {"type": "remote", "url": tools, "enabled": True, "oauth": False}},
        }  # fmt: skip
        self.write(".config/opencode/opencode.json", configuration)
        variables = {
            f"OPENCODE_DISABLE_{what}": "1"
            for what in ("MODELS_FETCH", "AUTOUPDATE", "LSP_DOWNLOAD", "DEFAULT_PLUGINS", "SHARE")
        }
        return [
            "run",
            "--format",
            "json",
            "--model",
            "gateway/m",
            *(["--continue"] if again else []),
            prompt,
        ], variables


KINDS = {kind.name: kind for kind in (ClaudeCode, Codex, Opencode)}
MakeAgent = Callable[..., Agent]


@pytest.fixture
def agent_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeAgent:
    """An agent by its name; by another `home`, another user's."""
    installs = os.environ.get("DRAWBAR_HARNESS_HOME") or str(Path.home() / ".cache" / "drawbar" / "harnesses")
    monkeypatch.setenv("DRAWBAR_HARNESS_HOME", installs)

    def made(name: str, home: str = "home", **options: Any) -> Agent:
        if not harness_factory(name).install.installed:
            pytest.skip(f"not installed: drawbar harness install {name}")
        key = options.pop("key", "sk-user")
        return KINDS[name](tmp_path / home, key, options)

    return made
