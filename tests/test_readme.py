"""The README cannot lie: each `drawbar` line in it runs, its example is the file it names, and every option exists."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from anyio import to_thread

from drawbar.record.store import Store
from drawbar.testing import says, serve_chat

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
LINES = [
    line.strip().partition("  #")[0].strip()
    for line in README.splitlines()
    if re.match(r" {4}(?:pip install -e \. && )?drawbar ", line)
]
COMMANDS = [line.removeprefix("pip install -e . && ") for line in LINES]
NEEDS_A_RUN = {
    "drawbar runs",
    "drawbar show RUN",
    "drawbar show SESSION",
    "drawbar compare RUN RUN",
    "drawbar run --resume RUN",
    "drawbar sessions --where 'reward < 0.5 and tool_calls > 20 and started > 7d'",
    "drawbar stats --by model,day",
    "drawbar score examples/word_lengths.py --where 'environment = word_lengths'",
    "drawbar alerts",
    "drawbar compare --live --before 7d --after 1d --by model",
}
SERVES = {"drawbar serve servers/wiki_search", "drawbar serve --config examples/drawbar.toml", "drawbar watch"}
"""They end when they are told to: their own tests run them."""
CAPTURES = [
    "drawbar capture monday --where 'environment = shop and started > 1d' -o monday",
    "drawbar run monday --model gpt-5-mini --judge-model gpt-5",
]
INSTALLS = {"drawbar harness install codex", "drawbar run servers/wiki_search --harness codex --model gpt-5-mini"}
"""Run by the agents' own tests, where they are installed."""
TRAINS = [command for command in COMMANDS if command.startswith(("drawbar export ", "drawbar import "))]
ASKS_A_PROVIDER = {command for command in COMMANDS if "--model" in command} - INSTALLS - {*CAPTURES}
CONNECTS = {command for command in COMMANDS if command.startswith("drawbar connect ")}
ASKS_A_PROVIDER -= CONNECTS
PLAIN = [
    c
    for c in COMMANDS
    if c not in NEEDS_A_RUN | SERVES | INSTALLS | {*CAPTURES, *TRAINS} | ASKS_A_PROVIDER | CONNECTS
    and "NAME" not in c
    and "ENV" not in c
]


def drawbar(command: str, store: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the README from the project's root, recording elsewhere."""
    words = [sys.executable if word == "python" else word for word in shlex.split(command)[1:]]
    words = [word.replace("command=python ", f"command={sys.executable} ") for word in words]
    return subprocess.run(
        [sys.executable, "-c", "from drawbar.cli import main; main()", *words],
        cwd=ROOT,
        env={**os.environ, "DRAWBAR_STORE": str(store), **env},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_there_are_lines_to_run() -> None:
    assert "drawbar run servers/wiki_search" in PLAIN
    assert set(COMMANDS) >= NEEDS_A_RUN


@pytest.mark.parametrize("command", PLAIN)
def test_a_line_runs(command: str, tmp_path: Path) -> None:
    done = drawbar(command, tmp_path / "drawbar.db")
    assert done.returncode == 0, done.stderr


def test_the_output_of_the_first_run_is_as_it_is_shown(tmp_path: Path) -> None:
    [shown] = re.findall(r"```\n(Run run_.*?)```", README, re.S)
    done = drawbar("drawbar run servers/wiki_search", tmp_path / "drawbar.db", COLUMNS="80")
    assert _without_times(done.stdout) == _without_times(shown)


def _without_times(report: str) -> list[str]:
    """Its lines; what is another in each run is left out."""
    text = re.sub(r"run_\w+|(?<=p\d\d )[\d.]+ (?:ms|s)", "...", report)
    return [line.rstrip() for line in text.strip().splitlines()]


def test_a_line_that_connects_an_agent_says_or_writes_what_it_must_be_told(tmp_path: Path) -> None:
    assert len(CONNECTS) == 2
    for line in CONNECTS:
        done = drawbar(line, tmp_path / "drawbar.db", HOME=str(tmp_path), XDG_STATE_HOME=str(tmp_path / "state"))
        assert done.returncode == 0, done.stderr
        assert "/mcp/wiki_search" in done.stdout
    assert 'model = "gpt-5-mini"' in (tmp_path / ".codex" / "drawbar.config.toml").read_text()


async def test_a_line_that_names_a_model_reaches_that_model(tmp_path: Path) -> None:
    async with serve_chat([says("Answer: unknown")]) as server:
        for command in ASKS_A_PROVIDER - {c for c in ASKS_A_PROVIDER if "anthropic/" in c}:
            line = command.replace("http://127.0.0.1:8000/v1", server.base_url) + " -n 1 --json"
            provider = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-test"}
            done = await to_thread.run_sync(partial(drawbar, line, tmp_path / "drawbar.db", **provider))
            assert done.returncode == 0, done.stderr
            report = json.loads(done.stdout)
            assert report["invalid"] == 0
            assert server.requests[-1].body["model"] == report["model"]


def test_what_a_run_recorded_can_be_looked_at_as_the_readme_says(tmp_path: Path) -> None:
    store = tmp_path / "drawbar.db"
    runs = [json.loads(drawbar("drawbar run examples/word_lengths.py --json", store).stdout)["run"] for _ in range(2)]
    session = Store.open(store, read_only=True).sessions(limit=1)[0].id
    for line in NEEDS_A_RUN:
        command = line.replace("RUN RUN", " ".join(runs)).replace("RUN", runs[0]).replace("SESSION", session)
        done = drawbar(command, store)
        assert done.returncode == 0, (command, done.stderr)


async def test_what_was_recorded_is_captured_and_played_again_as_the_readme_says(tmp_path: Path) -> None:
    assert set(CAPTURES) <= set(COMMANDS)
    store, folder = tmp_path / "drawbar.db", tmp_path / "monday"
    capture, again = (line.replace(" monday --model", f" {folder} --model") for line in CAPTURES)
    capture = capture.replace("environment = shop and started > 1d", "environment = word_lengths")
    async with serve_chat([says("yes")]) as server:
        provider = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-test"}
        for line in ("drawbar run examples/word_lengths.py", capture.replace("-o monday", f"-o {folder}"), again):
            done = await to_thread.run_sync(partial(drawbar, f"{line} --json", store, **provider))
            assert done.returncode == 0, (line, done.stderr)
    assert json.loads(done.stdout)["invalid"] == 0


def test_what_was_recorded_is_exported_and_what_others_recorded_imported_as_the_readme_says(tmp_path: Path) -> None:
    store, golden = tmp_path / "drawbar.db", ROOT / "tests" / "importing" / "golden"
    for model in ("baseline", "oracle"):
        assert drawbar(f"drawbar run servers/wiki_search -n 8 --model {model} -q", store).returncode == 0
    assert len(TRAINS) == 6
    for line in TRAINS:
        command = re.sub(r"(-o|--verify) (\S+)", lambda m: f"{m[1]} {tmp_path / m[2]}", line)
        command = re.sub(r" (\w+\.(?:eval|jsonl|json))\b", lambda m: f" {golden / m[1]}", command)
        done = drawbar(command, store)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    for name in ("sft.jsonl", "pairs.jsonl", "split.train.jsonl"):
        assert (tmp_path / name).read_text().count("\n") > 0


def test_the_example_is_the_file_that_it_is_said_to_be_and_has_at_most_25_lines() -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, re.S)
    assert code == (ROOT / "examples" / "word_lengths.py").read_text("utf-8")
    assert len(code.splitlines()) <= 25


def test_every_path_that_it_names_is_there() -> None:
    for path in re.findall(r"`((?:gateway|harnesses|servers|tests|examples|\.ci)/[\w./]*)`", README):
        assert (ROOT / path).exists(), path
