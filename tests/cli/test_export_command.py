"""`drawbar export` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from drawbar.record.store import Store

Drawbar = Callable[..., Any]


@pytest.fixture
def run(drawbar: Drawbar) -> str:
    """A run of four rollouts, two of them with reward 1."""
    return str(drawbar("run", "quiz.py", "--json", "-q").json["run"])


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_sessions_that_a_filter_means_become_a_file_with_a_manifest(drawbar: Drawbar, run: str, tmp_path: Path) -> None:
    out = drawbar("export", "trl", "--where", "reward >= 1", "-o", "good.jsonl").out
    assert "2 rows in good.jsonl" in out
    assert "2 conversations of 2 sessions; 4 of 8 messages are trained" in out
    rows = _lines(tmp_path / "good.jsonl")
    assert [[message["role"] for message in row["messages"]] for row in rows] == [
        ["user", "assistant", "tool", "assistant"]
    ] * 2
    assert "The files match" in drawbar("export", "--verify", "good.jsonl.manifest.json").out
    (tmp_path / "good.jsonl").write_text("{}")
    again = drawbar("export", "--verify", "good.jsonl.manifest.json", "--json")
    assert (again.status, again.json["matches"]) == (1, False)


def test_a_file_that_is_there_is_not_written_over_unless_told_so(drawbar: Drawbar, run: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("mine")
    refused = drawbar("export", "trl", "-o", "a.jsonl")
    assert (refused.status, "there already" in refused.err) == (2, True)
    assert (tmp_path / "a.jsonl").read_text() == "mine"
    told = drawbar("export", "trl", "-o", "a.jsonl", "--force", "--json").json
    assert (told["rows"], told["file"]) == (4, "a.jsonl")
    assert len(_lines(tmp_path / "a.jsonl")) == 4


def test_a_manifest_says_the_licences_of_models_as_configured_or_told(
    drawbar: Drawbar, run: str, tmp_path: Path
) -> None:
    (tmp_path / "drawbar.toml").write_text('[licenses]\n"*" = "Apache-2.0"\n')
    for more, licence in ((), "Apache-2.0"), (("--license", "yes=MIT"), "MIT"):
        drawbar("export", "trl", "-o", "a.jsonl", "--force", "--config", "drawbar.toml", *more)
        said = json.loads((tmp_path / "a.jsonl.manifest.json").read_text())["licenses"]
        assert list(said.values()) == [licence]


def test_a_dry_run_shows_counts_lengths_and_rows_and_writes_nothing(drawbar: Drawbar, run: str, tmp_path: Path) -> None:
    out = drawbar("export", "openai", "--dry-run").out
    assert "4 rows of openai would be written" in out
    assert "tokens of conversations" in out
    assert out.count('"messages"') == 3
    assert len(drawbar("export", "openai", "--dry-run", "--json").json["samples"]) == 3
    assert not [path for path in tmp_path.iterdir() if "json" in path.name]


def test_explaining_lists_every_rule(drawbar: Drawbar, run: str) -> None:
    from drawbar.export.healthy import FURTHER, RULES

    out = drawbar("export", "trl", "--dry-run", "--explain").out
    assert all(f"{rule}: " in out for rule in (*RULES, *FURTHER))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("opnai", "-o", "a.jsonl"), "Did you mean 'openai'"),
        ((), "Which format?"),
        (("trl",), "Say where to write it"),
        (("trl", "-o", "nowhere/a.jsonl"), "There is no folder"),
        (("trl", "-o", "a.jsonl", "-w", "model = nix and turns > 0"), "No session meets `model = nix`"),
        (("trl", "-o", "a.jsonl", "-w", "taks = x"), "Did you mean 'task'"),
        (("trl", "-o", "a.jsonl", "--allow", "trunkation"), "Did you mean 'truncation'"),
        (("--verify", "quiz.py"), "no manifest"),
    ],
)
def test_mistakes_are_said(drawbar: Drawbar, run: str, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = drawbar("export", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert said in ended.err
    assert not (tmp_path / "a.jsonl").exists()


def test_of_sessions_of_which_none_can_be_exported_is_said_why(drawbar: Drawbar, run: str, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "drawbar.db")
    store.write([replace(row, stop="harness_failed") for row in store.sessions()])
    store.close()
    ended = drawbar("export", "trl", "-o", "a.jsonl")
    assert ended.status == 2
    assert "4  invalid_rollout" in ended.err
    assert "--allow invalid_rollout" in ended.err


def test_formats_are_listed(drawbar: Drawbar) -> None:
    from drawbar.export.format import FORMATS

    out = drawbar("export", "--formats").out
    assert all(name in out for name in FORMATS)
    assert set(drawbar("export", "--formats", "--json").json) == set(FORMATS)
