"""`drawbar run` and the commands that read what it left: what is printed where, and what a mistake gets."""

from __future__ import annotations

import re
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drawbar.record.store import Store

Drawbar = Callable[..., Any]
JUDGED = """
from drawbar import Environment, Task, judge
from drawbar.testing import ScriptedModel, says

environment = Environment(
    name="judged", tasks=[Task(prompt="?")], rubric=[judge("{{ completion }}, yes or no?", model="gpt-5-mini")],
    models={"m": ScriptedModel([says("yes")])}, default_model="m",
)
"""


def test_a_run_ends_with_a_report_on_standard_output_and_progress_elsewhere(drawbar: Drawbar) -> None:
    ended = drawbar("run", "quiz.py")
    assert ended.status == 0, ended.err
    assert "reward" in ended.out
    assert "0.500" in ended.out
    assert "4 on 4 tasks" in ended.out
    assert "4/4 rollouts" in ended.err
    assert "4/4 rollouts" not in ended.out
    assert Path("drawbar.db").exists()


def test_the_report_says_that_no_language_model_was_used_and_how_to_name_one(drawbar: Drawbar) -> None:
    out = drawbar("run", "quiz.py", "-q").out
    assert "No language model was used: 'yes' is a Python function" in out
    assert "drawbar run quiz.py --model gpt-5-mini (needs OPENAI_API_KEY), or --model NAME --base-url URL" in " ".join(
        out.split()
    )


def test_with_json_standard_output_holds_the_json_alone(drawbar: Drawbar) -> None:
    ended = drawbar("run", "quiz.py", "--json", "-r", "2", "-n", "3")
    found = ended.json
    assert (found["environment"], found["harness"], found["model"], found["llm"]) == ("quiz", "loop", "yes", False)
    assert (found["rollouts"], found["invalid"], found["rollouts_per_task"]) == (6, 0, 2)
    assert found["reward"]["mean"] == pytest.approx(1 / 3)
    assert len(found["reward"]["ci95"]) == 2
    assert found["metrics"] == {"words": 1.0}
    assert "6/6 rollouts" in ended.err


def test_a_run_can_be_listed_shown_and_compared_later(drawbar: Drawbar) -> None:
    first = drawbar("run", "quiz.py", "--json").json
    second = drawbar("run", "quiz.py", "--json", "--weight", "correct=2").json
    assert second["reward"]["mean"] == 2 * first["reward"]["mean"] == 1.0
    assert [run["id"] for run in drawbar("runs", "--json").json] == [second["run"], first["run"]]
    shown = drawbar("show", first["run"], "--json").json
    assert {name: shown[name] for name in ("reward", "metrics", "rollouts", "stops", "tokens", "turns")} == {
        name: first[name] for name in ("reward", "metrics", "rollouts", "stops", "tokens", "turns")
    }
    assert [session["task"] for session in shown["sessions"]] == ["q0", "q1", "q2", "q3"]
    compared = drawbar("compare", first["run"], second["run"], "--json").json
    assert compared["tasks"] == 4
    assert compared["differences"]["reward"]["difference"] == 0.5
    text = drawbar("compare", first["run"], second["run"]).out
    assert "4 tasks in both" in text
    assert "+0.500" in text
    assert "Their rubrics differ" in text


def test_the_list_of_runs_fits_80_columns_and_its_short_ids_are_taken(
    drawbar: Drawbar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run = drawbar("run", "quiz.py", "--json", "-r", "4").json["run"]
    heading, line = drawbar("runs").out.splitlines()
    assert heading.split() == ["run", "started", "status", "environment", "·", "harness", "·", "model"]
    assert line.split("  ")[1:] == ["just now", "finished", "quiz · loop · yes · 4 per task"]
    short = line.split()[0]
    assert run.startswith(short)
    shown = drawbar("show", short).out
    assert f"Run {run}" in shown
    session = next(line.split()[0] for line in shown.splitlines() if line.startswith("ses_"))
    assert "task q0, rollout 0" in drawbar("show", session).out


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "just now"), (90, "1 min ago"), (7300, "2 h ago"), (86400, "1 day ago"), (200_000, "2 days ago")],
)
def test_the_list_of_runs_says_how_long_ago_they_started(drawbar: Drawbar, seconds: float, words: str) -> None:
    drawbar("run", "quiz.py", "-q")
    database = sqlite3.connect("drawbar.db")
    with database:
        database.execute("UPDATE run SET started = ?", (time.time() - seconds,))
    database.close()
    assert f"  {words}  " in drawbar("runs").out


def test_runs_that_have_nothing_in_common_are_not_compared(drawbar: Drawbar) -> None:
    run = drawbar("run", "quiz.py", "--json").json["run"]
    Path("other.py").write_text(Path("quiz.py").read_text().replace('name="quiz"', 'name="other"'))
    other = drawbar("run", "other.py", "--json", "--env-option", "topic=Riddle").json["run"]
    empty = drawbar("run", "other.py", "--json", "--harness", "command", "--harness-option", "command=true",
                    "--retries", "0").json["run"]  # fmt: skip
    assert "of different environments: quiz and other." in drawbar("compare", run, other).out
    assert "no task has valid rollouts in both" in drawbar("compare", run, other).out
    assert f"no valid rollout in {empty}." in drawbar("compare", other, empty).out


def test_a_metric_without_a_value_is_told_and_what_there_is_not_is_left_out(drawbar: Drawbar) -> None:
    Path("quiz.py").write_text(Path("quiz.py").read_text().replace("len(completion.split())", "None"))
    ended = drawbar("run", "quiz.py", "-q")
    assert re.search(r"words +none  \(no value in 4 rollouts\)", ended.out)
    assert drawbar("run", "quiz.py", "-q", "--json").json["missing"] == {"words": 4}
    failed = drawbar("run", "quiz.py", "-q", "--weight", "words=1").out
    assert "4 invalid" in failed
    assert "time of a rollout" not in failed


def test_a_session_is_shown_as_a_person_likes_to_read_it(drawbar: Drawbar) -> None:
    run = drawbar("run", "quiz.py", "--json").json["run"]
    session = drawbar("show", run, "--json").json["sessions"][0]["session"]
    out = drawbar("show", session).out
    for part in (
        "task q0",
        "Question 0",
        '→ look_up(word="yes")',
        "yes: a word",
        "quiz/look_up",
        "correct",
        "health: good",
    ):
        assert part in out
    found = drawbar("show", session, "--json").json
    assert (found["completion"], found["stop"], len(found["tool_calls"])) == ("yes", "completed", 1)
    assert found["tool_calls"][0]["arguments"] == {"word": "yes"}


def test_a_run_of_nothing_but_failures_says_so_by_its_exit_status(drawbar: Drawbar) -> None:
    ended = drawbar("run", "quiz.py", "--harness", "command", "--harness-option", "command=true", "--retries", "0")
    assert ended.status == 1
    assert "No rollout is valid" in ended.err
    assert "4 invalid" in ended.out
    assert "harness_failed" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "Which environment?"),
        (["run", "quiz"], "Did you mean 'quiz.py'"),
        (["run", "quiz.py", "--harness", "lopp"], "Did you mean 'loop'"),
        (["run", "quiz.py", "--harness-option", "parallel"], "--harness-option is written key=value"),
        (["run", "quiz.py", "--harness-option", "paralell=no"], "Did you mean 'parallel'"),
        (["run", "quiz.py", "--env-option", "endles=yes"], "Did you mean 'endless'"),
        (["run", "quiz.py", "--env-option", "endless=yes"], "say how many to take with -n"),
        (["run", "quiz.py", "--env-option", "endless=yes", "--shuffle", "-n", "3"], "leave --shuffle out"),
        (["run", "quiz.py", "--max-cost", "-1"], "The limit `cost` is a number above 0"),
        (["run", "quiz.py", "--model", "yess"], "yess"),
        (["run", "quiz.py", "--weight", "corect=1"], "Did you mean 'correct'"),
        (["run", "quiz.py", "--weight", "correct=much"], "--weight correct=... is a number"),
        (["run", "quiz.py", "--judge-model", "gpt-5"], "has no judge"),
        (["run", "quiz.py", "--api-key-env", "NO_SUCH_KEY"], "NO_SUCH_KEY is not set"),
        (["run", "quiz.py", "--store", "no/such/place/x.db"], "no/such/place"),
        (["run", "quiz.py", "--gateway", "http://127.0.0.1:9"], "cannot be reached"),
        (["run", "--resume", "run_1"], "There is no store"),
        (["run", "quiz.py", "--resume", "run_1"], "Leave out: environment"),
        (["show", "run_1"], "There is no store"),
        (["runs", "--store", "elsewhere.db"], "There is no store at elsewhere.db"),
    ],
)
def test_a_mistake_is_one_clear_message_and_exit_status_2(drawbar: Drawbar, arguments: list[str], said: str) -> None:
    ended = drawbar(*arguments)
    assert ended.status == 2
    assert said in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert not ended.out


def test_a_key_that_is_missing_is_told_before_the_first_rollout(
    drawbar: Drawbar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Path("judged.py").write_text(JUDGED)
    for arguments in (["quiz.py", "--model", "gpt-5-mini"], ["quiz.py", "--fallback", "gpt-5-mini"], ["judged.py"]):
        ended = drawbar("run", *arguments)
        assert ended.status == 2
        assert "set OPENAI_API_KEY" in ended.err
    assert not Path("drawbar.db").exists()
    assert drawbar("run", "judged.py", "--weight", "judge=0", "-q").status == 0


def test_a_model_that_is_not_there_leaves_nothing_but_invalid_rollouts_and_says_why(drawbar: Drawbar) -> None:
    ended = drawbar(
        "run", "quiz.py", "--model", "m", "--base-url", "http://127.0.0.1:9/v1", "-n", "1", "--retries", "0"
    )
    assert ended.status == 1
    assert "1 invalid" in ended.out
    assert "http://127.0.0.1:9/v1 could not be reached: nothing listens there. Is it running?" in ended.out


def test_a_tool_that_raises_is_told_to_the_model_and_the_run_goes_on(drawbar: Drawbar) -> None:
    Path("quiz.py").write_text(Path("quiz.py").read_text().replace('return f"{word}: a word"', "raise KeyError(word)"))
    found = drawbar("run", "quiz.py", "--json", "-n", "1").json
    assert (found["valid"], found["tool_calls"]) == (1, 1.0)
    session = drawbar("show", found["run"], "--json").json["sessions"][0]["session"]
    out = drawbar("show", session).out
    assert "error\n  Error executing tool look_up: KeyError: 'yes'" in re.sub(" +\n", "\n", out)


def test_a_port_in_use_is_told_by_the_command_that_wants_it(drawbar: Drawbar) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = drawbar("serve", "quiz.py", "--port", str(port))
    assert ended.status == 2
    assert f"Port {port} on 127.0.0.1 is in use. Give another with --port" in ended.err
    assert "Traceback" not in ended.err


def test_an_id_that_nothing_has_is_told(drawbar: Drawbar) -> None:
    drawbar("run", "quiz.py", "-q")
    for arguments in (["show", "ses_nothing"], ["run", "--resume", "run_nothing"], ["compare", "run_a", "run_b"]):
        ended = drawbar(*arguments)
        assert (ended.status, "Traceback" in ended.err) == (2, False)
        assert "No" in ended.err


def test_a_store_of_a_newer_version_is_refused(drawbar: Drawbar) -> None:
    drawbar("run", "quiz.py", "-q")
    database = sqlite3.connect("drawbar.db")
    with database:
        database.execute("UPDATE meta SET value = 9999 WHERE name = 'schema_version'")
    database.close()
    ended = drawbar("run", "quiz.py", "-q")
    assert ended.status == 2
    assert "schema version 9999" in ended.err
    assert "Upgrade drawbar" in ended.err


def test_a_fault_that_nobody_foresaw_is_a_message_and_a_way_to_see_more(
    drawbar: Drawbar, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = drawbar("run", "quiz.py", "--env-option", "broken=yes")
    assert ended.status == 1
    assert "ZeroDivisionError: the tasks' own mistake" in ended.err
    assert "DRAWBAR_DEBUG=1" in ended.err
    assert "Traceback" not in ended.err
    monkeypatch.setenv("DRAWBAR_DEBUG", "1")
    assert "Traceback" in drawbar("run", "quiz.py", "--env-option", "broken=yes").err


def test_limits_and_sampling_reach_the_rollout(drawbar: Drawbar) -> None:
    found = drawbar(
        "run", "quiz.py", "--json", "--max-turns", "1", "--temperature", "0.5", "--sampling", "top_k=3"
    ).json
    assert found["stops"] == {"limit_turns": 4}


def test_what_was_interrupted_can_only_be_resumed_as_it_was(drawbar: Drawbar) -> None:
    run = drawbar("run", "quiz.py", "--json").json["run"]
    refused = drawbar("run", "--resume", run, "-n", "1", "--model", "other")
    assert "Leave out: model, tasks" in refused.err
    found = drawbar("run", "--resume", run[:12], "--json", "--concurrency", "1").json
    assert (found["run"], found["rollouts"], found["kept"]) == (run, 4, 4)


def test_what_the_configuration_redacts_is_in_no_record_of_a_run(tmp_path: Path, drawbar: Drawbar) -> None:
    config = tmp_path / "patterns.toml"
    config.write_text('[redaction]\nword = "Question"\n')
    assert drawbar("run", "quiz.py", "--config", str(config)).status == 0

    store = Store.open("drawbar.db", read_only=True)
    said = [message.text for row in store.sessions() for message in store.trajectory(row.id).messages]
    store.close()
    assert any("[word] 1" in text for text in said)
    assert not any("Question" in text for text in said)
