"""When drawbar itself is killed, nothing that an agent started outlives it, a daemon that left its group included."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import psutil  # type: ignore[import-untyped]
import pytest

from drawbar.rollout.harnesses import harness_factory
from drawbar.testing import serve_chat
from drawbar.tools.warden import Warden

ROOT = Path(__file__).parents[2]
DRAWBAR = Path(sys.executable).with_name("drawbar")
INSTALLED = harness_factory("cline").install.installed
linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="marks are found in /proc")


async def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    with anyio.fail_after(seconds):
        while not holds():  # noqa: ASYNC110
            await anyio.sleep(0.02)


def living(*wanted: psutil.Process) -> list[psutil.Process]:
    """Those that run still, and do not merely wait to be reaped."""
    return [p for p in wanted if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def below(folder: Path) -> list[psutil.Process]:
    """Processes of a rollout whose agent lives in this folder."""
    found = []
    for process in psutil.process_iter(["environ"]):
        environment = process.info["environ"] or {}
        if environment.get("DRAWBAR_SESSION") and environment.get("HOME") == str(folder):
            found.append(process)
    return living(*found)


@linux
async def test_a_wardens_end_is_the_end_of_its_groups_and_of_all_that_has_their_marks() -> None:
    warden = Warden()
    sleeps = ["sleep", "600"]
    async with (
        await anyio.open_process(sleeps, start_new_session=True) as grouped,
        await anyio.open_process(sleeps, start_new_session=True, env={"MARK": "ours\n\nMARK=theirs"}) as other,
        await anyio.open_process(sleeps, start_new_session=True, env={"MARK": "ours 1"}) as near,
        await anyio.open_process(sleeps, start_new_session=True, env={"A": "", "MARK": "ours"}) as daemon,
        await anyio.open_process(sleeps, start_new_session=True, env={"MARK": "freed"}) as freed,
    ):
        warden.guard(grouped.pid, "MARK=ours")
        warden.guard(freed.pid, "MARK=freed")
        warden.release(freed.pid)
        try:
            await warden.close()
            with anyio.fail_after(10):
                assert [await grouped.wait(), await daemon.wait()] == [-signal.SIGKILL, -signal.SIGKILL]
            assert (near.returncode, freed.returncode) == (None, None)
        finally:
            for process in (grouped, other, near, daemon, freed):
                if process.returncode is None:
                    process.kill()


AS_IT_SHIPS = """
HOME=%s CLINE_HUB_PORT=%d
export HOME CLINE_HUB_PORT
cline=%s
$cline auth -p openai-compatible -k "$OPENAI_API_KEY" -m "$OPENAI_MODEL" -b "$OPENAI_BASE_URL"
$cline --json --auto-approve true "Say hello."
sleep 600
"""
"""Our harness keeps Cline from starting its daemon; run like this, it does, and ends before it."""


@linux
@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="not installed: drawbar harness install cline")
async def test_the_daemon_of_cline_does_not_outlive_a_drawbar_that_is_killed(tmp_path: Path) -> None:
    program, node = harness_factory("cline").install.need()
    script = tmp_path / "agent.sh"
    script.write_text(AS_IT_SHIPS % (tmp_path, free_port(), program))
    async with serve_chat(["Hello."]) as server:
        command: list[Any] = [
            DRAWBAR, "run", ROOT / "examples" / "word_lengths.py", "--harness", "command", "--model", "scripted",
            "--harness-option", f"command=sh {script}", "--base-url", server.base_url, "--tasks", "1",
            "--store", tmp_path / "runs.db", "--quiet",
        ]  # fmt: skip
        path = os.pathsep.join([str(node), os.environ["PATH"]])
        drawbar = subprocess.Popen(command, env={**os.environ, "PATH": path})  # noqa: ASYNC220
        try:
            await until(lambda: any("--cline-hub-daemon" in process.cmdline() for process in below(tmp_path)), 90)
        finally:
            drawbar.kill()
            drawbar.wait()
        await until(lambda: not below(tmp_path))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
