"""Any program as an agent: what it is told, what is kept of it, and that nothing of it stays."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import psutil  # type: ignore[import-untyped]
import pytest

from drawbar import Limits
from drawbar.errors import ConfigurationError, HarnessError, UnknownName
from drawbar.rollout.harnesses import load_harness
from drawbar.testing import calls
from drawbar_harnesses.command import CommandHarness
from drawbar_harnesses.processes import KEPT_HEAD, KEPT_TAIL

AGENT = Path(__file__).with_name("agent_program.py")
DeskAt = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """`drawbar run` uses uvloop; the contract suite runs the same harness without it."""
    return "asyncio", {"use_uvloop": True}


def python(code: str, *arguments: str, **options: Any) -> CommandHarness:
    return CommandHarness(command=[sys.executable, "-c", code, *arguments], **options)


async def said_by(desk_at: DeskAt, harness: CommandHarness) -> str:
    async with desk_at(["unused"]) as desk:
        outcome = await harness.run(await desk.assignment(seed=7))
    assert outcome.stop == "completed", outcome
    return outcome.output["stdout"]


async def test_a_program_uses_the_tools_and_the_model_of_its_session(desk_at: DeskAt) -> None:
    async with desk_at([calls("weather", town="Ghent"), "Yes."]) as desk:
        assignment = await desk.assignment()
        outcome = await CommandHarness(command=[sys.executable, str(AGENT)]).run(assignment)
        trajectory = await desk.ended(assignment, outcome)
    assert outcome.output["stdout"] == "Yes.\n"
    assert (trajectory.turns, [call.text for call in trajectory.tool_calls]) == (2, ["It rains in Ghent."])
    assert not trajectory.health


async def test_placeholders_are_filled_in_and_doubled_braces_are_braces(desk_at: DeskAt) -> None:
    show = "import sys; print('|'.join(sys.argv[1:]))"
    said = await said_by(desk_at, python(show, "{prompt}", "{system}", "{model}", "{seed}", '{{"a": 1}}', "$HOME {1}"))
    assert said == 'Is it raining in Ghent?|Be brief.|scripted|7|{"a": 1}|$HOME {1}\n'


async def test_files_and_variables_say_where_to_work(desk_at: DeskAt) -> None:
    show = """
import json, os
e = os.environ
assert open(e["DRAWBAR_PROMPT_FILE"]).read() == "Is it raining in Ghent?"
assert json.load(open("mcp.json"))["mcpServers"]["drawbar"] == {"type": "http", "url": e["DRAWBAR_MCP_URL"]}
assert e["OPENAI_BASE_URL"] == e["ANTHROPIC_BASE_URL"] + "/v1" == e["GOOGLE_GEMINI_BASE_URL"] + "/v1"
assert e["OPENAI_API_KEY"] == e["ANTHROPIC_API_KEY"] == e["GEMINI_API_KEY"]
assert e["EXTRA"] == "scripted"
print(e["DRAWBAR_TASK"], e["DRAWBAR_SEED"], e["DRAWBAR_MODEL"])
"""
    assert await said_by(desk_at, python(show, env={"EXTRA": "{model}"})) == "t 7 scripted\n"


async def test_nothing_of_our_environment_is_passed_on_unasked(
    desk_at: DeskAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "real-key")
    monkeypatch.setenv("MY_TOKEN", "mine")
    show = "import os; print(os.environ['ANTHROPIC_API_KEY'][:4], os.environ.get('MY_TOKEN'))"
    assert await said_by(desk_at, python(show)) == "dbk_ None\n"
    assert await said_by(desk_at, python(show, pass_env="MY_TOKEN")) == "dbk_ mine\n"


async def test_its_directory_is_its_own_and_gone_afterwards(desk_at: DeskAt) -> None:
    where = await said_by(desk_at, python("import os; open('x', 'w').close(); print(os.getcwd())"))
    assert not Path(where.strip()).exists()  # noqa: ASYNC240


async def test_a_status_that_is_not_zero_is_the_agents_failure_with_its_last_words(desk_at: DeskAt) -> None:
    async with desk_at(["unused"]) as desk:
        outcome = await python("import sys; sys.exit('I give up')").run(await desk.assignment())
    assert outcome.stop == "agent_failed"
    assert "exit status 1: I give up" in str(outcome.error)
    assert outcome.output["exit_status"] == "1"


async def test_long_output_is_kept_at_both_ends(desk_at: DeskAt) -> None:
    said = await said_by(desk_at, python("print('begin' + 'x' * 1_000_000 + 'end')"))
    assert said.startswith("begin")
    assert said.endswith("end\n")
    assert len(said) < KEPT_HEAD + KEPT_TAIL + 100
    assert "bytes cut" in said


async def test_at_the_time_limit_even_a_daemon_that_left_the_group_is_killed(desk_at: DeskAt, tmp_path: Path) -> None:
    spawn = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
"""
    note = tmp_path / "pid"
    async with desk_at(["unused"]) as desk:
        outcome = await python(spawn, str(note)).run(await desk.assignment(limits=Limits(seconds=2)))
    assert (outcome.stop, outcome.error) == ("limit_time", f"{sys.executable} was stopped after 2 s.")
    await gone(int(note.read_text()))


async def test_a_child_that_outlives_its_agent_is_killed_and_not_waited_for(desk_at: DeskAt) -> None:
    spawn = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    began = time.monotonic()
    pid = int(await said_by(desk_at, python(spawn)))
    assert time.monotonic() - began < 30
    await gone(pid)


def is_running(pid: int) -> bool:
    """Whether a process is there, and not merely waiting to be reaped by init."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def gone(pid: int) -> None:
    """Wait until a process is no more."""
    with anyio.fail_after(10):
        while is_running(pid):  # noqa: ASYNC110
            await anyio.sleep(0.01)


def test_a_program_that_is_not_there_is_refused_before_the_run() -> None:
    with pytest.raises(ConfigurationError, match="cannot find the program 'no-such-agent'"):
        CommandHarness(command="no-such-agent --task {prompt_file}")


async def test_a_program_that_cannot_be_started_is_the_harness_failure(desk_at: DeskAt) -> None:
    async with desk_at(["unused"]) as desk:
        with pytest.raises(HarnessError, match="could not be started"):
            await CommandHarness(command=["{workdir}/missing"]).run(await desk.assignment())


def test_an_unknown_placeholder_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'prompt'"):
        CommandHarness(command=["echo", "{promt}"])


def test_without_a_program_it_says_how_to_give_one() -> None:
    with pytest.raises(ConfigurationError, match="--harness-option command="):
        load_harness("command")


def test_options_come_as_texts_from_the_command_line() -> None:
    options = {"command": '["echo", "a b"]', "timeout": "2.5", "env": '{"A": "1"}'}
    harness: Any = load_harness("command", options)
    assert (harness._command, harness._programs.timeout, harness._env) == (["echo", "a b"], 2.5, {"A": "1"})
    with pytest.raises(ConfigurationError, match="JSON object"):
        load_harness("command", {"command": "echo", "env": "A=1"})
    with pytest.raises(ConfigurationError, match="timeout"):
        load_harness("command", {"command": "echo", "timeout": "soon"})
