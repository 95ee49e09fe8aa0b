"""Harnesses are found by name or import path, and the core knows none by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from drawbar.errors import ConfigurationError, UnknownName
from drawbar.rollout.harnesses import load_harness


def test_an_unknown_harness_is_told_with_the_nearest_names() -> None:
    with pytest.raises(UnknownName, match=r"No harness named 'lop'\. Did you mean 'loop'"):
        load_harness("lop")


def test_an_option_that_a_harness_does_not_take_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'parallel'"):
        load_harness("loop", {"paralel": "false"})


def test_a_harness_of_ones_own_is_found_beside_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "class Mine:\n    name = 'mine'\n    async def run(self, assignment): ...\nnothing = object\n"
    (tmp_path / "my_own_harness.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert load_harness("my_own_harness:Mine").name == "mine"
    with pytest.raises(UnknownName, match="Did you mean 'Mine'"):
        load_harness("my_own_harness:mine")
    with pytest.raises(ConfigurationError, match="has no `name` and `run`"):
        load_harness("my_own_harness:nothing")
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        load_harness("no_such_module:Mine")


def test_the_core_imports_neither_harnesses_nor_servers() -> None:
    code = """
import importlib, pkgutil, sys
import drawbar
for module in pkgutil.walk_packages(drawbar.__path__, "drawbar."):
    importlib.import_module(module.name)
tops = {name.partition(".")[0] for name in sys.modules}
foreign = tops & {"drawbar_harnesses", "drawbar_wiki_search", "servers"}
assert not foreign, foreign
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_no_file_of_the_core_names_a_harness_or_server_package() -> None:
    core = Path(__file__).parents[2] / "gateway" / "drawbar"
    files = [path for path in core.rglob("*.py") if "scaffold" not in path.parts]
    assert len(files) > 50
    named = [path for path in files if "import drawbar_" in (text := path.read_text()) or "from drawbar_" in text]
    assert not named
