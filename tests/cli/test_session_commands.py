"""`drawbar sessions`, `stats` and `score` on the command line, and what reports then say of rubric versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Drawbar = Callable[..., Any]

RUBRIC = """
from drawbar import Rubric, judge

def correct(completion, answer):
    return 1.0 if completion == answer else 0.5

rubric = Rubric(correct)
judged = Rubric(correct, judge("Is {{ completion }} polite?", model="nobody/knows"))
nothing = 3
"""


@pytest.fixture
def run(drawbar: Drawbar, tmp_path: Path) -> str:
    """A run of four rollouts, two of them with reward 1, and another rubric in a file."""
    (tmp_path / "other.py").write_text(RUBRIC)
    return str(drawbar("run", "quiz.py", "--json", "-q").json["run"])


def test_sessions_are_listed_by_filter(drawbar: Drawbar, run: str) -> None:
    out = drawbar("sessions", "--where", f"run = {run} and reward >= 1").out
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["yes", "yes"]
    assert "quiz · q1 · loop · yes" in out
    found = drawbar("sessions", "-w", "task in (q0, q2)", "--json").json
    told = [(each["task"], each["reward"], each["turns"], each["tool_calls"]) for each in found]
    assert sorted(told) == [("q0", 0.0, 2, 1), ("q2", 0.0, 2, 1)]
    assert "… 3 more (--limit)" in drawbar("sessions", "-n", "1").out
    assert drawbar("sessions", "--json", "--where", "turns > 7").json == []


def test_of_no_session_is_said_why(drawbar: Drawbar, run: str) -> None:
    assert "No session meets `model = nix`" in drawbar("sessions", "--where", "turns > 0 and model = nix").out
    said = drawbar("sessions", "--where", "reward = 1 and task = q0").out
    assert "None of the 2 sessions that the filter leaves before it meets `task = q0` (1 session alone)" in said
    mistaken = drawbar("sessions", "--where", "reward = 1 and taks = q0")
    assert (mistaken.status, mistaken.out) == (2, "")
    assert "character 16: there is no column 'taks'. Did you mean 'task'" in mistaken.err


def test_every_column_is_listed_with_what_it_is(drawbar: Drawbar, run: str) -> None:
    from drawbar.record.filter_columns import COLUMNS

    out = drawbar("sessions", "--columns").out
    assert all(name in out and column.meaning in out for name, column in COLUMNS.items())


def test_sessions_are_counted_by_columns(drawbar: Drawbar, run: str) -> None:
    groups = drawbar("stats", "--by", "score.correct,model", "--json").json
    assert [(g["by"], g["sessions"], g["reward"]["mean"]) for g in groups] == [
        ({"score.correct": 0.0, "model": "yes"}, 2, 0.0), ({"score.correct": 1.0, "model": "yes"}, 2, 1.0),
    ]  # fmt: skip
    [line] = drawbar("stats", "--by", "day,model", "--where", "task = q1").out.splitlines()[1:]
    assert line.split()[1:4] == ["yes", "1", "2"]
    assert drawbar("stats", "--by", "modle").status == 2
    assert drawbar("stats", "--by", "task", "-n", "3").out.splitlines()[-1] == "… 1 more (--limit)"


def test_scoring_again_tells_what_changed_and_reports_say_whose_scores_they_show(drawbar: Drawbar, run: str) -> None:
    own = drawbar("show", run, "--json").json["rubric_version"]
    plan = drawbar("score", "other.py:rubric", "--dry-run", "--json").json
    assert (plan["due"], plan["judge_calls"], plan["rubric_version"] != own) == (4, 0, True)
    done = drawbar("score", "other.py:rubric", "--where", "reward < 1", "-q").out
    assert "2 sessions of 2 scored" in done
    assert "correct         2   0.000  0.500        2" in done
    assert "Most changed in reward" in done

    version = plan["rubric_version"]
    shown = drawbar("show", run)
    assert "reward 0.500" in " ".join(shown.out.split())
    assert f"There are also scores of rubric {version} (2 sessions)" in shown.out
    partly = drawbar("show", run, "--rubric", version[:6], "--json").json
    assert (partly["reward"]["mean"], partly["rubric_versions"]) == (0.5, {version: 2})
    assert "Rewards of several rubric versions are in one mean" in drawbar("stats").out

    drawbar("score", "other.py:rubric", "-q")
    whole = drawbar("show", run)
    assert f"Scores are of rubric {version}, not of the run's own {own}." in whole.out
    assert drawbar("show", run, "--json").json["reward"]["mean"] == 0.75
    assert "several rubric versions" not in drawbar("stats").out
    session = drawbar("sessions", "-n", "1", "--json").json[0]["id"]
    assert f"rubric {version}, the newest" in drawbar("show", session).out
    assert drawbar("show", run, "--rubric", "zzz").status == 2

    other = drawbar("run", "quiz.py", "--json", "-q").json["run"]
    assert f"({version} against {own})" in drawbar("compare", run, other).out
    assert "Their rubrics differ" not in drawbar("compare", run, other, "--rubric", own).out


def test_what_the_servers_configuration_redacts_is_not_kept_of_an_explanation(
    drawbar: Drawbar, run: str, tmp_path: Path
) -> None:
    (tmp_path / "quoting.py").write_text("def quoted(session):\n    return 1.0, f'it said sk-abc in {session}'\n")
    (tmp_path / "drawbar.toml").write_text("[redaction]\nsecret = 'sk-[a-z]+'\n")
    assert drawbar("score", "quoting.py:quoted", "-q").status == 0
    session = drawbar("sessions", "-n", "1", "--json").json[0]["id"]
    said = [score["explanation"] for score in drawbar("show", session, "--json").json["scores"]]
    assert f"it said [secret] in {session}" in said
    assert not any(b"sk-abc" in path.read_bytes() for path in tmp_path.glob("drawbar.db*"))


def test_a_second_start_says_that_all_was_there(drawbar: Drawbar, run: str) -> None:
    drawbar("score", "other.py:rubric", "-q")
    again = drawbar("score", "other.py:rubric", "--json", "-q").json
    assert (again["scored"], again["kept"], again["changes"]["reward"]["after"]) == (0, 4, 0.75)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["score", "other.py:rubrics"], "Did you mean 'rubric'"),
        (["score", "other.py:nothing"], "is a int, not a Rubric"),
        (["score", "missing.py:rubric"], "there is no file missing.py"),
        (["score", "nowhere"], "No environment named 'nowhere'"),
        (["score", "other.py:judged"], "Judge nobody/knows cannot be asked"),
        (["score", "other.py:rubric", "--judge-model", "m"], "has no judge"),
        (["score", "other.py:rubric", "--weight", "korrect=2"], "Did you mean 'correct'"),
        (["score", "other.py:rubric", "--store", "nix.db"], "There is no store at nix.db"),
    ],
)
def test_what_cannot_be_scored_is_told(drawbar: Drawbar, run: str, arguments: list[str], says: str) -> None:
    ended = drawbar(*arguments)
    assert ended.status == 2
    assert says in ended.err


def test_a_filter_that_means_nothing_scores_nothing_and_says_why(drawbar: Drawbar, run: str) -> None:
    ended = drawbar("score", "quiz.py", "--where", "model = nix")
    assert (ended.status, ended.out) == (0, "")
    assert "No session meets `model = nix`" in ended.err
