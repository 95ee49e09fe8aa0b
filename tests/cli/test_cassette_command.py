"""`drawbar run` with cassettes, and `drawbar cassette`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Drawbar = Callable[..., Any]


@pytest.fixture
def recorded(drawbar: Drawbar) -> str:
    """The run whose calls are in `quiz.jsonl`."""
    ended = drawbar("run", "quiz.py", "--record-cassette", "quiz.jsonl", "--json")
    assert ended.status == 0, ended.err
    assert "drawbar run quiz.py --cassette quiz.jsonl" in ended.err
    run: str = ended.json["run"]
    return run


def test_a_run_is_replayed_from_what_another_recorded(drawbar: Drawbar, recorded: str) -> None:
    ended = drawbar("run", "quiz.py", "--cassette", "quiz.jsonl", "--json")
    assert ended.status == 0, ended.err
    (drift,) = ended.json["cassettes"]
    assert (drift["mode"], drift["hits"], drift["misses"], drift["unused"]) == ("by-arguments", 4, 0, 0)
    assert drawbar("show", ended.json["run"], "--json").json["cassettes"] == [drift]
    assert "Cassette quiz.jsonl (by-arguments): 4 hits, 0 misses" in drawbar("show", ended.json["run"]).out


def test_a_run_that_called_no_tool_leaves_no_cassette_behind(drawbar: Drawbar) -> None:
    quiz = Path("quiz.py")
    whole = quiz.read_text()
    quiz.write_text(whole.replace('calls("look_up", word="yes"), ', ""))
    ended = drawbar("run", "quiz.py", "--record-cassette", "quiz.jsonl", "-q")
    assert "No tool was called, so there is no quiz.jsonl." in ended.err
    quiz.write_text(whole)
    assert drawbar("run", "quiz.py", "--record-cassette", "quiz.jsonl", "-q").status == 0


def test_what_was_missed_is_in_the_report_and_makes_the_run_fail(drawbar: Drawbar, recorded: str) -> None:
    quiz = Path("quiz.py")
    quiz.write_text(quiz.read_text().replace('word="yes"', 'word="no"'))
    ended = drawbar("run", "quiz.py", "--cassette", "quiz.jsonl", "--cassette-mode", "strict", "-q")
    assert ended.status == 1
    assert "cassette_missed" in ended.out
    assert 'missed 4x  look_up {"word":"no"}' in ended.out


def test_a_run_that_is_resumed_goes_on_with_its_cassettes(drawbar: Drawbar, recorded: str) -> None:
    first = drawbar("run", "quiz.py", "--cassette", "quiz.jsonl", "--record-cassette", "again.jsonl", "--json").json
    again = drawbar("run", "--resume", first["run"], "--json")
    assert again.status == 0, again.err
    assert (again.json["kept"], again.json["cassettes"][0]["hits"]) == (4, 4)
    assert drawbar("cassette", "show", "again.jsonl", "--json").json["calls"] == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cassette", "none.jsonl"], "Record one with: drawbar run ENV --record-cassette PATH"),
        (["--cassette", "quiz.py"], "this is no cassette"),
        (["--cassette", "quiz.jsonl", "--cassette-mode", "strickt"], "Did you mean 'strict'"),
        (["--cassette-mode", "strict"], "No server of environment quiz has a cassette"),
        (["--record-cassette", "quiz.jsonl"], "is there already"),
        (["--cassette", "quiz.jsonl", "--gateway", "http://127.0.0.1:1"], "not for --gateway"),
    ],
)
def test_a_mistake_is_told(drawbar: Drawbar, recorded: str, arguments: list[str], said: str) -> None:
    ended = drawbar("run", "quiz.py", *arguments)
    assert ended.status == 2
    assert said in " ".join(ended.err.split())


def test_a_stored_run_is_made_a_cassette(drawbar: Drawbar, recorded: str) -> None:
    made = drawbar("cassette", "record", recorded, "-o", "stored.jsonl")
    assert made.status == 0, made.err
    assert made.out == "4 calls in stored.jsonl\n"
    assert drawbar("cassette", "diff", "quiz.jsonl", "stored.jsonl").out == "No difference.\n"
    replayed = drawbar("run", "quiz.py", "--cassette", "stored.jsonl", "--cassette-mode", "strict", "--json").json
    assert (replayed["valid"], replayed["cassettes"][0]["hits"]) == (4, 4)
    assert drawbar("cassette", "record", recorded, "-o", "stored.jsonl").status == 2


def test_a_replayed_run_is_made_a_cassette_of_the_same_tools(drawbar: Drawbar, recorded: str) -> None:
    run = drawbar("run", "quiz.py", "--cassette", "quiz.jsonl", "--json").json["run"]
    assert drawbar("cassette", "record", run, "-o", "replayed.jsonl").status == 0
    assert drawbar("cassette", "diff", "quiz.jsonl", "replayed.jsonl").out == "No difference.\n"


def test_a_session_shows_what_it_missed_and_what_it_did_not_ask_for(drawbar: Drawbar, recorded: str) -> None:
    quiz = Path("quiz.py")
    quiz.write_text(quiz.read_text().replace('word="yes"', 'word="no"'))
    run = drawbar("run", "quiz.py", "--cassette", "quiz.jsonl", "-n", "1", "--json").json["run"]
    (session,) = drawbar("show", run, "--json").json["sessions"]
    assert session["cause"] == "cassette_missed"
    shown = drawbar("show", session["session"]).out
    assert 'missed 1x  look_up {"word":"no"}' in shown
    assert 'recorded, and not asked for: look_up {"word":"yes"}' in shown


def test_what_a_cassette_holds_is_shown_of_a_file_and_of_a_stored_run(drawbar: Drawbar, recorded: str) -> None:
    shown = drawbar("cassette", "show", "quiz.jsonl", "--calls").out
    assert "4 calls in 4 sessions of 4 tasks" in shown
    assert 'q0  look_up {"word":"yes"}' in shown
    for name in ("quiz.jsonl", recorded):
        found = drawbar("cassette", "show", name, "--json").json
        assert (found["environment"], found["calls"], found["sessions"]) == ("quiz", 4, 4)
        (tool,) = found["tools"]
        assert (tool["server"], tool["tool"], tool["calls"], tool["arguments"]) == ("quiz", "look_up", 4, 1)


def test_two_cassettes_are_compared_and_one_with_the_live_servers(drawbar: Drawbar, recorded: str) -> None:
    quiz = Path("quiz.py")
    assert drawbar("cassette", "diff", "quiz.jsonl", "quiz.py").out == "No difference.\n"
    changed = quiz.read_text().replace('word="yes"', 'term="no"').replace("(word: str)", "(term: str)")
    quiz.write_text(changed.replace("{word}", "{term}"))
    assert "tool     look_up: its arguments changed" in drawbar("cassette", "diff", "quiz.jsonl", "quiz.py").out
    assert drawbar("run", "quiz.py", "--record-cassette", "new.jsonl", "-q").status == 0
    found = drawbar("cassette", "diff", "quiz.jsonl", "new.jsonl", "--json").json
    assert found["schema"] == ["look_up: its arguments changed"]
    assert [call["arguments"] for call in found["gone"]] == [{"word": "yes"}]
    assert [call["arguments"] for call in found["new"]] == [{"term": "no"}]


def test_env_validate_names_the_damaged_line_of_a_cassette(drawbar: Drawbar, recorded: str) -> None:
    lines = Path("quiz.jsonl").read_text().splitlines()
    Path("quiz.jsonl").write_text("\n".join([*lines[:2], "{", *lines[2:]]))
    Path("environment.toml").write_text('name = "quiz"\n[servers.quiz]\ncassette = "quiz.jsonl"\n')
    ended = drawbar("env", "validate", ".", "--no-oracle")
    assert ended.status == 1
    assert "quiz.jsonl, line 3: this is no recorded call" in ended.out
