"""Ctrl-C on a real process, and going on afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import anyio
import psutil  # type: ignore[import-untyped]
import pytest

from drawbar.gateway import Gateway
from drawbar.loading import load_environment
from drawbar.proxy.models import Models
from drawbar.record.store import Store
from drawbar.serving import serving

SLOW = '''
import asyncio, pathlib

from drawbar import Environment, Outcome, Task
from drawbar.testing import says

HERE = pathlib.Path(__file__).parent


async def slow(messages, tools, task):
    """Answers the first three tasks; the others only once it may."""
    if task.info["number"] >= 3 and not (HERE / "may_go_on").exists():
        (HERE / "waiting").touch()
        await asyncio.Event().wait()
    return says("yes")


def correct(completion):
    return completion == "yes"


class Stubborn:
    """Does not let itself be cancelled."""

    name = "stubborn"

    async def run(self, assignment):
        (HERE / "waiting").touch()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue


environment = Environment(
    name="slow", tasks=[Task(key=f"q{i}", prompt="?", info={"number": i}) for i in range(8)], rubric=[correct],
    models={"slow": slow}, default_model="slow",
)
'''


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`drawbar` with these arguments, as a shell in the foreground starts it."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from drawbar.cli import main; main()", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


async def appears(path: Path) -> None:
    with anyio.fail_after(60):
        while not path.exists():  # noqa: ASYNC110, ASYNC240
            await anyio.sleep(0.01)


def line_with(stream: IO[str], word: str) -> str:
    """The next line that holds the word."""
    return next(line for line in stream if word in line)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path


async def test_ctrl_c_ends_the_run_cleanly_and_resuming_does_only_the_rest(folder: Path) -> None:
    with started(folder, "run", "slow.py", "-c", "1", "--json") as process:
        await appears(folder / "waiting")
        process.send_signal(signal.SIGINT)
        out, err = await anyio.to_thread.run_sync(process.communicate)
    assert process.returncode == 130
    first = json.loads(out)
    assert first["status"] == "interrupted"
    assert first["rollouts"] == first["valid"] == 3
    assert f"drawbar run --resume {first['run']}" in err
    assert "Traceback" not in err
    store = Store.open(folder / "drawbar.db", read_only=True)
    assert not store.sessions(status="open")
    store.close()

    (folder / "may_go_on").touch()
    with started(folder, "run", "--resume", first["run"], "--json") as process:
        out, err = await anyio.to_thread.run_sync(process.communicate)
    second = json.loads(out)
    assert (process.returncode, second["run"], second["status"]) == (0, first["run"], "finished")
    assert (second["rollouts"], second["kept"], second["reward"]["mean"]) == (8, 3, 1.0)


async def test_a_killed_run_can_be_resumed_too(folder: Path) -> None:
    with started(folder, "run", "slow.py", "-c", "2", "-q") as process:
        await appears(folder / "waiting")
        process.kill()
        process.wait()
    (folder / "may_go_on").touch()
    store = Store.open(folder / "drawbar.db", read_only=True)
    (run,) = store.runs()
    store.close()
    with started(folder, "run", "--resume", run.id, "--json") as process:
        out, _ = await anyio.to_thread.run_sync(process.communicate)
    found = json.loads(out)
    assert (found["rollouts"], found["valid"]) == (8, 8)
    assert found["kept"] >= 1


async def test_a_second_ctrl_c_leaves_at_once(folder: Path) -> None:
    with started(folder, "run", "slow.py", "--harness", "slow:Stubborn", "-n", "1") as process:
        await appears(folder / "waiting")
        assert process.stderr is not None
        process.send_signal(signal.SIGINT)
        await anyio.to_thread.run_sync(line_with, process.stderr, "Ctrl-C again")
        process.send_signal(signal.SIGINT)
        with anyio.fail_after(20):
            await anyio.to_thread.run_sync(process.wait)
    assert process.returncode == 130


async def test_ctrl_c_kills_the_programs_that_a_command_harness_runs(folder: Path) -> None:
    program = "import time, pathlib, os; pathlib.Path('WHERE/waiting').write_text(str(os.getpid())); time.sleep(600)"
    command = json.dumps([sys.executable, "-c", program.replace("WHERE", str(folder))])
    options = ("--harness", "command", "--harness-option", f"command={command}")
    with started(folder, "run", "slow.py", "-n", "1", *options) as process:
        await appears(folder / "waiting")
        with anyio.fail_after(10):
            while not (folder / "waiting").read_text():  # noqa: ASYNC110
                await anyio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        await anyio.to_thread.run_sync(process.communicate)
    assert process.returncode == 130
    assert not psutil.pid_exists(int((folder / "waiting").read_text()))


async def test_a_run_through_a_gateway_elsewhere_is_recorded_there_and_can_be_resumed(folder: Path) -> None:
    (folder / "may_go_on").touch()
    environment = load_environment(folder / "slow.py")
    store = Store.open(folder / "theirs.db")
    models = Models(in_process=environment.models)
    gateway = Gateway(store, models, environments={"slow": environment})
    async with gateway, serving(gateway) as url:
        with started(folder, "run", "slow.py", "--gateway", url, "--json", "-n", "3") as process:
            out, err = await anyio.to_thread.run_sync(process.communicate)
        assert process.returncode == 0, err
        found = json.loads(out)
        with started(folder, "run", "--resume", found["run"], "--gateway", url, "--json") as process:
            out, err = await anyio.to_thread.run_sync(process.communicate)
        assert process.returncode == 0, err
        with started(folder, "run", "slow.py", "--gateway", url + "/", "--env-option", "x=1") as process:
            _, err = await anyio.to_thread.run_sync(process.communicate)
        assert process.returncode == 2, err
    assert (found["rollouts"], found["reward"]["mean"]) == (3, 1.0)
    assert json.loads(out)["kept"] == 3
    stored = list(store.trajectories(run=found["run"]))
    assert [trajectory.reward for trajectory in stored] == [1.0] * 3
    assert not (folder / "drawbar.db").exists()
    store.close()


WAITING = '''
import asyncio, pathlib

HERE = pathlib.Path(__file__).parent


async def good(task):
    """Scores the first three tasks; the others only once it may."""
    if task.info["number"] >= 3 and not (HERE / "may_be_scored").exists():
        (HERE / "scoring").touch()
        await asyncio.Event().wait()
    return 0.5
'''


async def test_ctrl_c_ends_scoring_again_and_the_same_line_does_only_the_rest(folder: Path) -> None:
    (folder / "may_go_on").touch()
    (folder / "other.py").write_text(WAITING)
    with started(folder, "run", "slow.py", "-q", "--json") as process:
        await anyio.to_thread.run_sync(process.communicate)
    line = ("score", "other.py:good", "--where", "environment = slow", "--json", "-q", "-c", "1")
    with started(folder, *line) as process:
        await appears(folder / "scoring")
        process.send_signal(signal.SIGINT)
        out, err = await anyio.to_thread.run_sync(process.communicate)
    assert (process.returncode, out) == (130, "")
    assert "scored; the same line again scores the rest" in err
    assert "Traceback" not in err
    store = Store.open(folder / "drawbar.db", read_only=True)
    before = sum(len(rows) for rows in store.scores([row.id for row in store.sessions()]).values())
    store.close()

    (folder / "may_be_scored").touch()
    with started(folder, *line) as process:
        out, err = await anyio.to_thread.run_sync(process.communicate)
    found = json.loads(out)
    assert (process.returncode, found["scored"] + found["kept"], found["kept"]) == (0, 8, before - 8)
    assert found["changes"]["reward"]["after"] == 0.5
