"""What `drawbar connect` says is true: real agents, frameworks and SDKs that were told it work through a gateway.

Each is started by the command that is printed, in a home that already holds some configuration of its user's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import psutil  # type: ignore[import-untyped]
import pytest

from drawbar import Environment, Task, Trajectory
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store
from drawbar.rollout.harnesses import harness_factory
from drawbar.serving import serving
from drawbar.testing import calls, says
from drawbar.testing.agents import for_agents

AGENTS = ("claude_code", "cline", "codex", "copilot", "gemini_cli", "opencode", "pi", "qwen_code")
FRAMEWORKS = (
    "autogen", "google_adk", "langgraph", "llama_index", "openai_agents", "pydantic_ai", "smolagents", "strands",
)  # fmt: skip
OWN = {
    "claude_code": (".claude/settings.local.json", '{\n  "permissions": {"allow": ["Read"]}\n}\n'),
    "cline": (".cline/data/settings/cline_mcp_settings.json", '{"mcpServers": {}}'),
    "codex": (".codex/config.toml", 'model = "mine" # for everything else\n'),
    "copilot": (".copilot/mcp-config.json", '{\n  "mcpServers": {}\n}\n'),
    "gemini_cli": (".gemini/settings.json", '{\n  // mine\n  "ui": {"hideTips": true},\n}\n'),
    "opencode": ("opencode.json", '{\n  // mine\n  "username": "somebody" // me\n}\n'),
    "pi": (".pi/agent/models.json", '{"providers": {}}\n'),
    "qwen_code": (".qwen/settings.json", '{\n  // mine\n  "ui": {"hideTips": true}\n}\n'),
}
"""A file that the user has: in the project where the agent reads one there, else in the home. They are one here."""
KEY = "a-key-of-the-gateway"
PATIENCE = 120


async def policy(messages: Sequence[Mapping[str, Any]], tools: Sequence[Any], task: Task | None, /) -> Any:
    """Looks the weather up, wherever the agent hides that tool, and says what it found."""
    names = {tool["function"]["name"] for tool in tools}
    turn = sum(message["role"] == "assistant" for message in messages)
    id = f"use_{turn}_{len(messages)}"
    if turn < 4 and not any("rains in Ghent" in json.dumps(message) for message in messages):
        if any(name.endswith("weather") for name in names):
            return calls("weather", id=id, town="Ghent")
        if "ToolSearch" in names:
            return calls("ToolSearch", id=id, query="weather", max_results=3)
        if "tool_search" in names:
            given = {"name": "mcp__drawbar__weather", "arguments": {"town": "Ghent"}}
            return calls("tool_call", id=id, **given) if turn else calls("tool_search", id=id, query="weather")
        if names == {"bash"}:
            return calls("bash", id=id, command="echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")
    return calls("final_answer", id=id, answer="It rains.") if "final_answer" in names else says("It rains.")


@dataclass
class Place:
    """A running gateway, and a user's machine."""

    url: str
    store: Store
    home: Path
    towns: list[str]
    env: dict[str, str] = field(default_factory=dict)

    def has(self, path: str, text: str) -> None:
        """A file in the home."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    async def drawbar(self, *arguments: str) -> Any:
        """What a `drawbar connect` command says as JSON."""
        words = [sys.executable, "-c", "from drawbar.cli import main; main()", "connect", *arguments, "--json"]
        return json.loads(await self.run(words))

    async def run(self, command: Sequence[str] | str, *folders: Path, **variables: str) -> str:
        """A program's output; a text is a line for the shell."""
        path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
        words = ["bash", "-c", command] if isinstance(command, str) else list(command)
        with anyio.fail_after(PATIENCE):
            env = {**self.env, "PATH": path, **variables}
            done = await anyio.run_process(words, cwd=self.home, env=env, stdin=-3, check=False)
        said = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == 0, said
        return done.stdout.decode()

    def recorded(self, session: str | None = None) -> list[Trajectory]:
        """That session, or all there are."""
        ids = [session] if session is not None else [row.id for row in self.store.sessions(limit=50)]
        return [self.store.trajectory(id) for id in ids]


@asynccontextmanager
async def place_at(folder: Path, *, keys: Sequence[str] = ()) -> AsyncIterator[Place]:
    towns: list[str] = []

    async def weather(town: str) -> str:
        """The weather in a town."""
        towns.append(town)
        return f"It rains in {town}."

    home = folder / "home"
    home.mkdir()
    store = Store.open(folder / "drawbar.db")
    models = Models(in_process={"scripted": for_agents(policy)})
    environments = {"weather": Environment(name="weather", tools=[weather])}
    settings = Settings(keys=frozenset(keys))
    gateway = Gateway(store, models, environments=environments, settings=settings)
    async with gateway, serving(gateway, grace=1) as url:
        yield Place(url, store, home, towns, _env(home))
    store.close()


def _env(home: Path) -> dict[str, str]:
    passed = ("SSL_CERT_FILE", "PYTHONPATH", "LANG", "DRAWBAR_HARNESS_HOME")
    ours = {name: os.environ[name] for name in passed if name in os.environ}
    return ours | {"HOME": str(home), "TERM": "dumb", "TMPDIR": str(home), "DRAWBAR_CONNECT_TEST": str(home)}


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path: Path) -> Iterator[None]:
    """Some agents leave daemons behind."""
    yield
    mark = str(tmp_path / "home")
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("DRAWBAR_CONNECT_TEST") == mark:
            process.kill()
            process.wait(10)


def installed(name: str) -> Any:
    there = harness_factory(name).install.installed
    reason = f"not installed: drawbar harness install {name}"
    return pytest.param(name, marks=[pytest.mark.slow, pytest.mark.skipif(not there, reason=reason)])


def folders(name: str) -> tuple[Path, Path]:
    program, node = harness_factory(name).install.need()
    return program.parent, node


def seen(trajectories: Sequence[Trajectory]) -> tuple[int, list[str]]:
    """How many model calls were answered, and which tools were called."""
    turns = sum(trajectory.turns for trajectory in trajectories)
    return turns, [call.name for trajectory in trajectories for call in trajectory.tool_calls]


@pytest.mark.parametrize("name", [installed(name) for name in AGENTS])
async def test_an_agent_whose_files_were_written_works_in_its_session_and_forgets_it_again(
    name: str, tmp_path: Path
) -> None:
    async with place_at(tmp_path) as place:
        place.has(*OWN[name])
        before = {path: path.read_bytes() for path in place.home.rglob("*") if path.is_file()}
        where = ("--gateway", place.url, "-e", "weather", "--model", "scripted")
        told = await place.drawbar(name, *where, "--session", "--write")
        again = await place.drawbar(name, *where, "--undo")
        assert {path: path.read_bytes() for path in place.home.rglob("*") if path.is_file()} == before
        assert len(again["undone"]) == len(told["written"])

        told = await place.drawbar(name, *where, "--session", "--write")
        variables = {variable: told["variables"][variable] for variable in told["unkept"]}
        await place.run(told["ask"].replace("PROMPT", "Does it rain in Ghent?"), *folders(name), **variables)
        [trajectory] = place.recorded(told["session"]["id"])
        assert place.towns == ["Ghent"]
        assert trajectory.turns >= 2
        assert [call.name for call in trajectory.tool_calls] == ["weather"]
        assert trajectory.tool_calls[0].tool_use_id
        assert trajectory.tool_calls[0].seen in ("same", "wrapped")
        assert seen(place.recorded()) == seen([trajectory]), "nothing went beside the session"


@pytest.mark.parametrize("name", [installed(name) for name in AGENTS])
async def test_an_agent_shows_its_key_as_the_printed_configuration_says_and_no_file_holds_that_key(
    name: str, tmp_path: Path
) -> None:
    async with place_at(tmp_path, keys=[KEY]) as place:
        where = ("--gateway", place.url, "-e", "weather", "--model", "scripted", "--key", "DRAWBAR_KEY")
        told = await place.drawbar(name, *where, "--write")
        files = [path.read_text() for path in place.home.rglob("*") if path.is_file()]
        lines = [*told["once"], *(f'export {name}="{value}"' for name, value in told["variables"].items())]
        unkept = [line for line in lines if not line.startswith("export ") or line[7:].split("=")[0] in told["unkept"]]
        script = "; ".join(["set -e", *unkept, told["ask"].replace("PROMPT", "Does it rain in Ghent?")])
        await place.run(script, *folders(name), DRAWBAR_KEY=KEY)
        turns, tools = seen(place.recorded())
    assert not any(KEY in text for text in files)
    assert (place.towns, tools) == (["Ghent"], ["weather"])
    assert turns >= 2


@pytest.mark.parametrize("name", [installed(name) for name in ("claude_code", "gemini_cli", "qwen_code")])
async def test_the_printed_variables_do_what_the_written_ones_do(name: str, tmp_path: Path) -> None:
    async with place_at(tmp_path) as place:
        told = await place.drawbar(name, "--gateway", place.url, "--model", "scripted")
        assert told["kept"], "these agents can keep them in a file"
        for each in told["files"]:
            place.has(each["file"], each["text"])
        await place.run(told["ask"].replace("PROMPT", "Say hello."), *folders(name), **told["variables"])
        turns, _ = seen(place.recorded())
    assert turns >= 1


@pytest.mark.parametrize("name", [installed("mini_swe_agent")])
async def test_mini_swe_agent_works_from_its_global_configuration(name: str, tmp_path: Path) -> None:
    async with place_at(tmp_path) as place:
        told = await place.drawbar(name, "--gateway", place.url, "--model", "scripted", "--session", "--write")
        command = told["ask"].replace("PROMPT", "Does it rain?")
        python = harness_factory(name).install.need()
        await place.run(command, python.parent, MSWEA_CONFIGURED="true")  # its user has been through its questions
        [trajectory] = place.recorded(told["session"]["id"])
    assert told["unkept"] == []
    assert trajectory.turns == 1


@pytest.mark.parametrize("name", [installed(name) for name in FRAMEWORKS])
async def test_the_printed_program_of_a_framework_runs_and_its_tool_call_is_recorded(name: str, tmp_path: Path) -> None:
    python = str(harness_factory(name).install.need())
    async with place_at(tmp_path) as place:
        where = ("--gateway", place.url, "-e", "weather", "--model", "scripted")
        told = await place.drawbar(name, *where, "--session")
        said = await _program(place, told, python)
        [trajectory] = place.recorded(told["session"]["id"])
        assert "It rains." in said
        assert trajectory.turns == 2
        [call] = trajectory.tool_calls
        assert (call.name, call.seen in ("same", "wrapped")) == ("weather", True), call.seen

        plain = await place.drawbar(name, "--gateway", place.url, "--model", "scripted")
        assert "mcp" not in plain["code"].lower()
        await _program(place, plain, python)
        changed = {**plain, "code": _without_address(plain["code"])}
        await _program(place, changed, python, **plain["instead"])
        assert seen(place.recorded()) == (4, ["weather"])


@pytest.mark.parametrize("name", [installed(name) for name in FRAMEWORKS])
async def test_the_printed_program_of_a_framework_shows_the_gateways_key(name: str, tmp_path: Path) -> None:
    python = str(harness_factory(name).install.need())
    async with place_at(tmp_path, keys=[KEY]) as place:
        where = ("--gateway", place.url, "-e", "weather", "--model", "scripted", "--key", "DRAWBAR_KEY")
        told = await place.drawbar(name, *where)
        await _program(place, told, python, DRAWBAR_KEY=KEY)
        assert KEY not in told["code"]
    assert place.towns == ["Ghent"]


async def _program(place: Place, told: Any, python: str, **variables: str) -> str:
    (place.home / told["program"]).write_text(told["code"])
    silent = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_GCE_CHECK": "true", "OTEL_SDK_DISABLED": "true"}
    command = told["run"].replace("python ", f"{shlex.quote(python)} ", 1)
    return await place.run(command, **silent, **variables)


def _without_address(code: str) -> str:
    """The program of somebody who has never heard of a gateway."""
    return re.sub(r'"?\b(base_url|api_base|api_key|baseURL|apiKey)"?\s*[=:]\s*"[^"]*",?\s*', "", code)


def _where_it_is(name: str) -> Any:
    """An interpreter that has the SDK, where there is one."""
    borrowed = {"google_genai": "google_adk"}
    if name in borrowed:
        install = harness_factory(borrowed[name]).install
        python = str(install.need()) if install.installed else None
    else:
        python = sys.executable if find_spec(name) is not None else None
    marks = [pytest.mark.slow, pytest.mark.skipif(python is None, reason=f"{name} is not installed")]
    return pytest.param(name, python, marks=marks)


@pytest.mark.parametrize(
    ("name", "python"), [_where_it_is(name) for name in ("openai", "anthropic", "google_genai", "litellm")]
)
async def test_the_printed_program_of_an_sdk_runs_and_so_does_one_that_knows_no_gateway(
    name: str, python: str, tmp_path: Path
) -> None:
    async with place_at(tmp_path) as place:
        told = await place.drawbar(name, "--gateway", place.url, "--model", "scripted")
        assert "It rains." in await _program(place, told, python)
        assert "It rains." in await _program(
            place, {**told, "code": _without_address(told["code"])}, python, **told["instead"]
        )
        recorded = place.recorded()
    assert [trajectory.turns for trajectory in recorded] == [1, 1]
    assert {call.dialect for trajectory in recorded for call in trajectory.calls} == {told["dialect"]}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("claude_agent_sdk") is None, reason="claude_agent_sdk is not installed")
async def test_the_printed_program_of_the_claude_agent_sdk_calls_the_tool(tmp_path: Path) -> None:
    async with place_at(tmp_path) as place:
        where = ("--gateway", place.url, "-e", "weather", "--model", "scripted")
        told = await place.drawbar("claude_agent_sdk", *where, "--session")
        assert "It rains." in await _program(place, told, sys.executable, IS_SANDBOX="1")
    assert place.towns == ["Ghent"]


@pytest.mark.parametrize("name", [installed("pi")])
async def test_the_printed_program_of_openais_typescript_sdk_runs(name: str, tmp_path: Path) -> None:
    program, node = harness_factory(name).install.need()  # pi brings the SDK along
    async with place_at(tmp_path) as place:
        (place.home / "node_modules").symlink_to(program.parents[1])
        told = await place.drawbar("openai_typescript", "--gateway", place.url, "--model", "scripted")
        (place.home / told["program"]).write_text(told["code"])
        assert "It rains." in await place.run(told["run"], node)
        (place.home / told["program"]).write_text(_without_address(told["code"]))
        assert "It rains." in await place.run(told["run"], node, **told["instead"])
        assert seen(place.recorded()) == (2, [])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("key", [None, "DRAWBAR_KEY"])
async def test_the_printed_curl_lines_ask_the_model_and_list_the_tools(key: str | None, tmp_path: Path) -> None:
    async with place_at(tmp_path, keys=[] if key is None else [KEY]) as place:
        where = ["--gateway", place.url, "-e", "weather", "--model", "scripted"]
        told = await place.drawbar("curl", *where, *([] if key is None else ["--key", key]))
        said = await place.run(told["code"], DRAWBAR_KEY=KEY)
    assert "It rains." in said
    assert '"weather"' in said
