"""Simulated users at the command line: who plays, what the report says of it, and what a session shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Drawbar = Callable[..., Any]
TALK = """
from drawbar import Environment, Task
from drawbar.testing import ScriptedModel, says

async def someone(messages, tools, task, /):
    return says("###STOP###" if "In Paris." in messages[-1]["content"] else "In Paris.")


environment = Environment(
    name="talk", tasks=[Task(key="rain", prompt="Is it raining?", user_turns=["In Gent.", "In Rome."])],
    models={
        "agent": ScriptedModel([says("Where?"), says("Yes."), says("No.")]),
        "someone": someone,
        "mute": ScriptedModel([says("")]),
    },
    default_model="agent",
)
"""


@pytest.fixture
def talk(drawbar: Drawbar) -> Drawbar:
    Path("talk.py").write_text(TALK)
    return drawbar


def words(text: str) -> str:
    return " ".join(text.split())


def shown(drawbar: Drawbar, run: str) -> str:
    """The run's one session, as `drawbar show` prints it."""
    (session,) = drawbar("show", run, "--json").json["sessions"]
    lines = drawbar("show", session["session"]).out.splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def test_a_run_replays_what_the_user_said_and_the_report_says_so(talk: Drawbar) -> None:
    out = talk("run", "talk.py").out
    assert "simulated user replayed: 2 turns in 1 rollout, 1 of 1 replay exact" in words(out)
    found = talk("run", "talk.py", "--json").json
    assert found["user"] == {
        "who": ["replayed"], "rollouts": 1, "turns": 2, "replays": 1, "exact": 1, "at_most": 0, "tokens": 0,
        "cost": None,
    }  # fmt: skip
    assert talk("show", found["run"], "--json").json["user"] == found["user"]


def test_a_session_shows_which_of_its_messages_were_simulated(talk: Drawbar) -> None:
    run = talk("run", "talk.py", "--json").json["run"]
    out = shown(talk, run)
    assert "\nuser\n  Is it raining?\n" in out
    assert "\nuser  replayed\n  In Gent.\n" in out
    assert "\nuser  replayed\n  In Rome.\n" in out
    assert "\nuser replayed: 2 turns; done\n" in out


def test_a_model_named_with_the_run_plays_the_user(talk: Drawbar) -> None:
    found = talk("run", "talk.py", "--json", "--user-model", "someone").json
    assert (found["user"]["who"], found["user"]["turns"], found["user"]["replays"]) == (["played by someone"], 1, 0)
    assert "\nuser  played by someone\n  In Paris.\n" in shown(talk, found["run"])


def test_a_user_that_fails_is_told_and_can_be_tried_again(talk: Drawbar) -> None:
    ended = talk("run", "talk.py", "--user-model", "mute", "--retries", "0")
    assert ended.status == 1
    assert "user_failed 1 the simulated user said nothing that could be used" in words(ended.out)
    assert "The user's model mute said nothing" in words(ended.out)


def test_a_users_model_that_nothing_is_known_of_is_told_before_the_run(talk: Drawbar) -> None:
    ended = talk("run", "talk.py", "--user-model", "nowhere/model")
    assert (ended.status, "nowhere/model cannot be asked" in words(ended.err)) == (2, True)


def test_env_show_and_validate_know_the_user(talk: Drawbar) -> None:
    out = words(talk("env", "show", "talk.py").out)
    assert "user mode replay tasks 1" in out
    Path("environment.toml").write_text(
        'name = "talk"\ntasks = "tasks.jsonl"\n[user]\nmode = "model"\nmodel = "m"\nmax_turns = 3\n'
    )
    Path("tasks.jsonl").write_text('{"prompt": "a", "goal": "b"}\n')
    assert talk("env", "show", ".", "--json").json["user"] == {
        "mode": "model", "tasks": 1, "model": "m", "max_turns": 3, "template": "the default",
    }  # fmt: skip
    Path("tasks.jsonl").write_text('{"prompt": "a"}\n')
    ended = talk("env", "validate", ".", "--no-oracle")
    assert (ended.status, "no task in which it would say anything" in ended.out) == (1, True)


def test_harness_list_says_which_harnesses_play_several_turns(drawbar: Drawbar) -> None:
    rows = {row["name"]: row["asks_user"] for row in drawbar("harness", "list", "--json").json}
    assert {name for name in ("loop", "chat", "command") if rows[name]} == {"loop", "chat", "command"}
    assert not rows["smolagents"]
    assert "goes on with a simulated user" in drawbar("harness", "list").out


def test_harness_list_says_where_a_program_finds_what_the_user_says(drawbar: Drawbar) -> None:
    out = drawbar("harness", "list", "command").out
    assert "| `DRAWBAR_USER_URL` | where the user replies to final answers" in out
    assert "{placeholders}" in out
    assert drawbar("harness", "list", "nobody").status == 2
