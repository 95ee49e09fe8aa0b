"""The frame: which commands there are, that asking for help is quick, and that shells can complete."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from drawbar import __version__
from drawbar.cli.main import COMMANDS

Drawbar = Callable[..., Any]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(drawbar: Drawbar, command: str) -> None:
    ended = drawbar(command, "--help")
    assert ended.status == 0, ended.err
    assert f"Usage: drawbar {command}" in ended.out


def test_help_names_every_command(drawbar: Drawbar) -> None:
    out = drawbar("--help").out
    assert all(f" {command} " in out and text in out for command, text in COMMANDS.items())


def test_a_command_that_there_is_not_is_told_with_the_nearest(drawbar: Drawbar) -> None:
    ended = drawbar("rum")
    assert ended.status == 2
    assert "Did you mean" in ended.err
    assert "run" in ended.err


def test_the_version_is_told_both_ways(drawbar: Drawbar) -> None:
    assert drawbar("--version").out == drawbar("version").out == f"drawbar {__version__}\n"
    assert drawbar("version", "--json").json == {"version": __version__}


def test_harnesses_are_listed_with_their_options(drawbar: Drawbar) -> None:
    found = {row["name"]: row for row in drawbar("harness", "list", "--json").json}
    assert {"loop", "chat", "command"} <= found.keys()
    assert "timeout" in found["command"]["options"]
    assert "loop" in drawbar("harness", "list").out


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from drawbar.cli.main import main
try:
    main(["--help"])
except SystemExit:
    pass
heavy = {"anyio", "aiohttp", "mcp", "sqlalchemy", "litellm", "pydantic", "uvicorn", "tantivy", "msgspec"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("words", "wanted"), [("drawbar ru", {"run", "runs"}), ("drawbar run --harn", {"--harness"})])
def test_shells_complete_commands_and_options(words: str, wanted: set[str]) -> None:
    asked = {"_DRAWBAR_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    code = "from drawbar.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert wanted <= set(done.stdout.split())
