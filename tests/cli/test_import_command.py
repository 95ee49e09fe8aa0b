"""`drawbar import` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Drawbar = Callable[..., Any]


@pytest.fixture
def raw(drawbar: Drawbar, tmp_path: Path) -> Path:
    """A raw export of a run of four rollouts."""
    drawbar("run", "quiz.py", "-q")
    out = drawbar("export", "raw", "-o", "all.jsonl.zst").out
    assert "4 rows in all.jsonl.zst" in out
    assert "4 whole sessions" in out
    return tmp_path / "all.jsonl.zst"


def test_a_run_goes_into_another_store_and_is_shown_there_as_here(drawbar: Drawbar, raw: Path) -> None:
    tried = drawbar("import", raw.name, "--store", "there.db", "--dry-run", "--json")
    assert (tried.json["added"], tried.json["dry_run"]) == (4, True)
    assert not (raw.parent / "there.db").exists()
    assert "4 sessions added; 0 were there already (raw)" in drawbar("import", raw.name, "--store", "there.db").out
    again = drawbar("import", raw.name, "--store", "there.db", "--json")
    assert (again.status, again.json["added"], again.json["already_there"]) == (0, 0, 4)
    run = drawbar("runs", "--json").json[0]["id"]
    assert drawbar("show", run, "--store", "there.db").out == drawbar("show", run).out


def test_damage_is_told_with_its_line_and_ends_with_status_1(drawbar: Drawbar, raw: Path, tmp_path: Path) -> None:
    drawbar("export", "raw", "-o", "plain.jsonl")
    plain = tmp_path / "plain.jsonl"
    lines = plain.read_bytes().splitlines()
    plain.write_bytes(b"\n".join([lines[0], lines[1][:-9], *lines[2:]]))
    found = drawbar("import", "plain.jsonl", "--store", "there.db")
    assert found.status == 1
    assert "3 sessions added" in found.out
    assert "plain.jsonl, line 2: " in found.out


def test_the_format_is_told_or_named(drawbar: Drawbar, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(
        json.dumps({"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]})
    )
    assert drawbar("import", "a.txt", "--json").json["formats"] == {"a.txt": "chat"}
    wrong = drawbar("import", "a.txt", "--format", "chatt")
    assert (wrong.status, "'chat'" in wrong.err) == (2, True)
    forced = drawbar("import", "a.txt", "--format", "raw")
    assert (forced.status, "line 1: it is no session of a raw export" in forced.out) == (1, True)
    assert set(drawbar("import", "--formats", "--json").json) == {"raw", "inspect", "verifiers", "atif", "chat"}
    assert drawbar("import").status == 2


def test_patterns_of_the_configuration_are_kept_out_of_the_store(drawbar: Drawbar, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        json.dumps(
            {"messages": [{"role": "user", "content": "I am 4711."}, {"role": "assistant", "content": "Hello."}]}
        )
    )
    (tmp_path / "drawbar.toml").write_text("[redaction]\nnumber = '4711'\n")
    assert drawbar("import", "a.jsonl", "--json").json["added"] == 1
    (session,) = drawbar("sessions", "--json").json
    shown = drawbar("show", session["id"]).out
    assert ("I am [number]." in shown, "4711" in shown) == (True, False)
