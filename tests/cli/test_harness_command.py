"""`drawbar harness`: what there is, what it speaks, and how to get it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DRAWBAR_HARNESS_HOME", str(tmp_path / "installs"))
    return tmp_path / "installs"


def test_the_list_says_what_an_agent_speaks_and_how_to_install_it(drawbar: Any, nothing_installed: Path) -> None:
    rows = {row["name"]: row for row in drawbar("harness", "list", "--json").json}
    codex, loop = rows["codex"], rows["loop"]
    assert (codex["dialect"], codex["mcp"], codex["installed"]) == ("responses", "2025-06-18", False)
    assert codex["version"]
    assert (loop["version"], loop["installed"]) == (None, True)
    said = drawbar("harness", "list").out
    assert f"{codex['version']}, not installed: drawbar harness install codex" in said
    assert "speaks responses, MCP 2025-06-18" in said


def test_what_comes_with_drawbar_needs_no_install(drawbar: Any, nothing_installed: Path) -> None:
    ended = drawbar("harness", "install", "loop")
    assert (ended.status, "comes with drawbar" in ended.err) == (0, True)
    assert not nothing_installed.exists()


def test_a_harness_that_there_is_not_is_named_before_anything_is_fetched(drawbar: Any, nothing_installed: Path) -> None:
    ended = drawbar("harness", "install", "codex", "opencod")
    assert ended.status == 2
    assert "Did you mean 'opencode'" in ended.err
    assert not nothing_installed.exists()


def test_a_run_with_an_agent_that_is_not_installed_says_how_to_get_it(drawbar: Any, nothing_installed: Path) -> None:
    ended = drawbar("run", "quiz.py", "--harness", "codex")
    assert ended.status == 2
    assert "drawbar harness install codex" in ended.err
