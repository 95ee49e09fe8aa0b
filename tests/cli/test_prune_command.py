"""`drawbar prune`: what it deletes, what it asks before, and what it says after."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from drawbar.cli.prune import app
from drawbar.errors import ConfigurationError
from drawbar.record.store import Store

DAY = 86400.0


def _pruned() -> ModuleType:
    path = Path(__file__).parents[1] / "record" / "pruned.py"
    spec = importlib.util.spec_from_file_location("drawbar_tests_pruned_for_cli", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


rows: Any = _pruned()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with an old session, a young one that shares words with it, and an open one."""
    path = tmp_path / "drawbar.db"
    store = Store.open(path)
    now = time.time()
    store.write(rows.session_rows("old", "ab" * 20, ended=now - 40 * DAY))
    store.write(rows.session_rows("young", "a", ended=now - DAY))
    store.write(rows.session_rows("open", "a", ended=None))
    store.close()
    return path


def run(*arguments: str | Path) -> Any:
    """What the command prints on standard output, as JSON where it is."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def sessions(path: Path) -> set[str]:
    store = Store.open(path, read_only=True)
    found = {row.id for row in store.sessions()}
    store.close()
    return found


def test_old_sessions_go_and_the_rest_can_be_read(path: Path) -> None:
    said = run("--older-than", "30d", "--yes", "--json", "--store", path)
    assert (said["sessions"], said["calls"], said["tool_calls"], said["scores"]) == (1, 40, 40, 1)
    assert said["nodes"] > 70
    assert said["free_bytes"] > 0
    assert sessions(path) == {"young", "open"}
    store = Store.open(path)
    rows.holds_just_what_is_needed(store)
    assert len(store.trajectory("young").nodes) == 3
    store.close()


def test_a_dry_run_deletes_nothing(path: Path) -> None:
    plan = run("--where", "user = ada", "--dry-run", "--json", "--store", path)
    assert plan == {"sessions": 2, "calls": 41, "tool_calls": 41, "staying": 1}
    assert "2 sessions with 41 calls" in run("--where", "user = ada", "--dry-run", "--store", path)
    assert sessions(path) == {"old", "young", "open"}


def test_nothing_is_deleted_without_being_asked_for(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Say --yes"):
        run("--older-than", "30d", "--store", path)
    with pytest.raises(ConfigurationError, match="Say which sessions"):
        run("--yes", "--store", path)
    with pytest.raises(ConfigurationError, match="There is no store"):
        run("--older-than", "30d", "--yes", "--store", tmp_path / "none.db")
    assert sessions(path) == {"old", "young", "open"}


def test_what_the_configuration_keeps_is_kept(path: Path, tmp_path: Path) -> None:
    config = tmp_path / "drawbar.toml"
    config.write_text(f'store = "{path}"\n[retention]\nlive = 30\n')
    assert "Deleted 1 session, 40 calls" in run("--yes", "--config", config)
    assert sessions(path) == {"young", "open"}


def test_a_store_is_made_smaller_and_says_what_it_keeps_for_now(path: Path) -> None:
    before = path.stat().st_size
    store = Store.open(path)
    store.write(rows.session_rows("just_over", "abba", ended=time.time() - 60))
    store.close()
    said = run("--where", "session in (old, just_over)", "--yes", "--vacuum", "--store", path)
    assert "can go two hours after" in said
    assert path.stat().st_size < before
    assert sessions(path) == {"young", "open"}


def test_who_is_killed_leaves_a_store_that_the_next_goes_on_with(path: Path) -> None:
    store = Store.open(path)
    for number in range(300):
        store.write(rows.session_rows(f"more_{number:03}", ["a", f"word {number}", "b"], ended=time.time() - 50 * DAY))
    before = rows.told(store, ["young", "open"])
    command = [sys.executable, "-m", "drawbar", "prune", "--older-than", "30d", "--yes", "--store", str(path)]
    for left in (250, 120, 40):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(store.sessions()) > left and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert rows.told(store, ["young", "open"]) == before
    assert run("--older-than", "30d", "--yes", "--json", "--store", path)["sessions"] < 301
    assert {row.id for row in store.sessions()} == {"young", "open"}
    assert rows.told(store, ["young", "open"]) == before
    rows.holds_just_what_is_needed(store)
    store.close()
