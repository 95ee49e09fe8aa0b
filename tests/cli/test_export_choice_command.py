"""`drawbar export` on the command line: choosing among sessions, splitting, pairing, redacting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Drawbar = Callable[..., Any]


@pytest.fixture
def run(drawbar: Drawbar) -> str:
    """A run of four tasks, three rollouts each: two tasks are always solved, two never."""
    return str(drawbar("run", "quiz.py", "--rollouts", "3", "--json", "-q").json["run"])


def _rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_was_said_twice_is_exported_once_unless_told_otherwise(drawbar: Drawbar, run: str) -> None:
    once = drawbar("export", "trl", "--dry-run", "--json").json
    assert once["sessions"]["left_out"] == {"duplicate": 8}
    assert (once["rows"], drawbar("export", "trl", "--dry-run", "--dedupe", "none", "--json").json["rows"]) == (4, 12)
    grpo = drawbar("export", "trl-grpo", "--dry-run", "--json").json
    assert sorted(row["rewards"] for row in grpo["samples"])[-1] == [1.0, 1.0, 1.0]


def test_tasks_are_chosen_by_how_they_did_and_sessions_by_a_selector(drawbar: Drawbar, run: str) -> None:
    out = drawbar(
        "export", "trl", "--dry-run", "--group", "solve_rate = 1 and rollouts = 3", "--select", "best-n:2",
        "--dedupe", "none", "--seed", "1", "--explain",
    ).out  # fmt: skip
    assert "4 rows of trl would be written" in out
    assert "6  group: its task's rollouts are not as --group wants them" in out
    assert "2  not_selected: " in out


def test_a_split_is_two_files_and_one_manifest(drawbar: Drawbar, run: str, tmp_path: Path) -> None:
    said = drawbar("export", "trl", "-o", "a.jsonl", "--split", "0.5", "--json").json
    assert said["files"] == ["a.train.jsonl", "a.test.jsonl"]
    train, test = (_rows(tmp_path / name) for name in said["files"])
    assert (len(train) + len(test), train == test) == (4, False)
    assert "The files match" in drawbar("export", "--verify", "a.jsonl.manifest.json").out
    out = drawbar("export", "trl", "-o", "b.jsonl", "--split", "0.5").out
    assert f"{len(train)} rows in b.train.jsonl, {len(test)} rows in b.test.jsonl (b.jsonl.manifest.json" in out
    refused = drawbar("export", "trl", "-o", "a.jsonl", "--split", "0.5")
    assert "a.train.jsonl is there already" in refused.err


def test_pairs_come_from_corrections(drawbar: Drawbar, run: str, tmp_path: Path) -> None:
    session = drawbar("sessions", "--json", "--where", "task = q0").json[0]["id"]
    assert drawbar("feedback", session, "--correction", "no").status == 0
    made = drawbar("export", "trl-dpo", "-o", "a.jsonl", "--pairs", "corrections")
    assert made.status == 0, made.err
    [row] = _rows(tmp_path / "a.jsonl")
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("no", "yes")
    manifest = json.loads((tmp_path / "a.jsonl.manifest.json").read_text())
    assert manifest["query"]["choice"]["pairs"] == ["corrections"]


def test_held_out_tasks_caps_and_mixtures_are_counted_by_rule(drawbar: Drawbar, run: str, tmp_path: Path) -> None:
    (tmp_path / "held.jsonl").write_text('{"prompt": "Question 1"}\n')
    options = ("--held-out", "held.jsonl", "--per-task", "2", "--per-environment", "5", "--mix", "quiz=1")
    out = drawbar("export", "trl", "-o", "a.jsonl", "--dedupe", "none", "--json", *options).json
    assert out["sessions"]["left_out"] == {"held_out": 3, "per_task": 3, "per_environment": 1}
    assert out["rows"] == 5
    assert drawbar("export", "trl", "--dry-run", "--json", "--held-out", "quiz.py").status == 2


def test_what_is_personal_is_made_unrecognisable(drawbar: Drawbar, tmp_path: Path) -> None:
    drawbar("run", "quiz.py", "--env-option", "topic=ada@lovelace.example.com", "-q")
    (tmp_path / "drawbar.toml").write_text('[redaction]\ntool = "look_up"\n')
    drawbar("export", "trl", "-o", "a.jsonl", "--redact")
    text = (tmp_path / "a.jsonl").read_text() + (tmp_path / "a.jsonl.manifest.json").read_text()
    assert ("lovelace" in text, "look_up" in text, "@pseudonym.example" in text) == (False, False, True)
    shown = drawbar("export", "trl", "--dry-run", "--redact").out
    assert ("lovelace" in shown, "@pseudonym.example" in shown) == (False, True)


def test_what_can_be_asked_for_is_listed(drawbar: Drawbar) -> None:
    out = drawbar("export", "--group-columns").out
    assert all(name in out for name in ("solve_rate", "pass_at_K", "shortest-correct", "corrections"))
    assert set(drawbar("export", "--group-columns", "--json").json) == {"columns", "selectors", "pairs"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trl", "--group", "solv_rate > 1"), "Did you mean 'solve_rate'"),
        (("trl", "--group", "solve_rate between 0.1 and 0.9"), "No task meets `solve_rate between 0.1 and 0.9`"),
        (("trl", "--group", "solve_rate = 1 and mean_reward = 0"), "before it meets `mean_reward = 0` (2 alone)"),
        (("trl", "--select", "bets"), "Did you mean 'best'"),
        (("trl", "--dedupe", "near:2"), "likeness above 0"),
        (("trl", "--mix", "quiz"), "--mix wiki=2,shop=1"),
        (("trl", "--mix", "shop=1"), "4  mix: "),
        (("trl", "--split", "1"), "between 0 and 1"),
        (("trl", "--margin", "0.5"), "trl has no pairs"),
        (("trl-dpo",), "4  no_pair: "),
        (("trl-dpo", "--pairs", "sibling"), "Did you mean 'siblings'"),
        (("trl", "--held-out", "nothing.jsonl"), "There is no task file nothing.jsonl"),
        (("raw", "--redact"), "nothing can be replaced"),
        (("raw", "--per-task", "1"), "takes every session"),
    ],
)
def test_mistakes_and_empty_choices_are_said(
    drawbar: Drawbar, run: str, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = drawbar("export", *arguments, "-o", "a.jsonl")
    assert (ended.status, ended.out) == (2, "")
    assert said in ended.err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("a.")] == []
