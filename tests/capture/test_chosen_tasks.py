"""Which of the recorded sessions become tasks: near duplicates once, a sample, two sides of a split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.capture.conftest import LOOK_UP, Office, document, tasks
from tests.cli.conftest import Ended

Drawbar = Callable[..., Ended]
Record = Callable[..., Any]


async def two_users(office: Office) -> None:
    """Each asks for orders of their own; one asks the same twice."""
    for user, orders in (("ada", (1, 2, 2)), ("bob", (3, 4))):
        for order in orders:
            await office.agent(headers={"x-drawbar-user": user}).say(f"Where is order {order}?")
            await office.end()


def test_near_duplicates_are_one_task_that_all_of_their_calls_answer(
    drawbar: Drawbar, record: Record, with_models: Callable[[str], None]
) -> None:
    record(two_users)
    captured = drawbar("capture", "desk", "-o", "env")
    assert "4 tasks and 5 tool calls captured of 5 sessions." in captured.out
    assert "1 merged into others as near duplicates" in captured.out
    (task,) = [task for task in tasks("env") if task["prompt"] == "Where is order 2?"]
    assert (task["info"]["count"], len(task["info"]["sessions"])) == (2, 2)
    assert len(document("env", "manifest.json")["sessions"]) == 5
    lines = [json.loads(line) for line in Path("env/cassette.jsonl").read_text().splitlines()[1:]]
    of = {line["session"]: line.get("task") for line in lines}
    assert [of[session] for session in task["info"]["sessions"]] == [task["key"], None]
    assert drawbar("capture", "desk", "-o", "all", "--near", "0", "--json").json["tasks"] == 5
    with_models("env")
    (drift,) = drawbar("run", "env", "--model", "desk", "--json").json["cassettes"]
    assert (drift["hits"], drift["misses"]) == (4, 0)


def test_what_is_redacted_is_the_same_placeholder_everywhere_and_is_reported(
    drawbar: Drawbar, record: Record, with_models: Callable[[str], None]
) -> None:
    async def work(office: Office) -> None:
        await office.agent().say("Where is order 7 for ada@example.org, account KN-77?")
        await office.end()

    record(work)
    Path("drawbar.toml").write_text("[redaction]\naccount = 'KN-[0-9]+'\n")
    captured = drawbar("capture", "desk", "-o", "env")
    assert captured.status == 0, captured.err
    everything = "".join(path.read_text() for path in Path("env").iterdir())
    assert "ada@example.org" not in everything
    assert "KN-77" not in everything
    (task,) = tasks("env")
    said = task["prompt"].split()[5].rstrip(",")
    assert task["info"]["recorded"] == f"It is on its way to {said}."
    assert said in Path("env/cassette.jsonl").read_text()
    assert "<ACCOUNT_1>" in task["prompt"]
    assert "account replaced: 1 value in 1 place" in captured.out
    assert "| account | 1 | 1 |" in Path("env/README.md").read_text()
    assert {each["what"] for each in document("env", "manifest.json")["redactions"]} == {"account", "e-mail address"}
    with_models("env")
    (drift,) = drawbar("run", "env", "--model", "desk", "--json").json["cassettes"]
    assert (drift["hits"], drift["misses"]) == (1, 0)


def test_tools_and_the_query_are_redacted_like_the_sessions(drawbar: Drawbar, record: Record) -> None:
    async def work(office: Office) -> None:
        agent = office.agent(headers={"x-drawbar-user": "ada@example.org"})
        known: Any = LOOK_UP["function"]
        function = {**known, "description": "Look an order up, as ada@example.org does."}
        agent.offered = [{"type": "function", "function": function}]
        await agent.say("Where is order 7 for Ada@Example.org?")
        await office.end()

    record(work)
    captured = drawbar("capture", "desk", "-o", "env", "--where", "user = 'ada@example.org'")
    assert captured.status == 0, captured.err
    for path in Path("env").iterdir():
        assert "example.org" not in path.read_text().casefold(), path
    said = "person1@pseudonym.example"
    assert said in tasks("env")[0]["prompt"]
    assert document("env", "manifest.json")["query"] == f"user = '{said}'"
    assert f"as {said} does" in Path("env/tools.json").read_text()
    assert f"as {said} does" in Path("env/cassette.jsonl").read_text()


def test_a_review_takes_tasks_away_or_leaves_everything_as_it_was(
    drawbar: Drawbar, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(two_users)
    alone = drawbar("capture", "desk", "-o", "env", "--review")
    assert (alone.status, "A review needs a terminal" in alone.err) == (2, True)
    left: list[Any] = [None, [], None]
    monkeypatch.setattr("drawbar.capture.review_terminal.review", lambda candidates, path, console: left.pop(0))
    unfinished = drawbar("capture", "desk", "-o", "env", "--review")
    assert unfinished.status == 1
    assert "env.review.jsonl" in unfinished.err
    assert "dropped every task" in drawbar("capture", "desk", "-o", "env", "--review").err
    assert not Path("env").exists()
    monkeypatch.setattr("drawbar.capture.review_terminal.review", lambda candidates, path, console: candidates[:1])
    assert "3 dropped in the review" in drawbar("capture", "desk", "-o", "env", "--review").out
    assert len(tasks("env")) == 1


def test_a_sample_is_the_same_for_the_same_seed(drawbar: Drawbar, record: Record) -> None:
    record(two_users)
    for folder in ("one", "two"):
        arguments = ("--sample", "2", "--stratify", "user", "--seed", "5")
        assert drawbar("capture", "desk", "-o", folder, *arguments).status == 0
    assert tasks("one") == tasks("two")
    assert {task["info"]["user"] for task in tasks("one")} == {"ada", "bob"}
    assert "| not in the sample by user | 2 |" in Path("one/README.md").read_text()


def test_a_split_makes_two_environments_with_nobody_in_both(
    drawbar: Drawbar, record: Record, with_models: Callable[[str], None]
) -> None:
    record(two_users)
    captured = drawbar("capture", "desk", "-o", "env", "--split", "0.5")
    assert captured.status == 0, captured.err
    users = [{task["info"]["user"] for task in tasks(f"env/{side}")} for side in ("train", "test")]
    assert sorted(map(sorted, users)) == [["ada"], ["bob"]]
    assert 'name = "desk-test"' in Path("env/test/environment.toml").read_text()
    sides = document("env", "manifest.json")["sides"]
    assert not set(sides["train"]["sessions"]) & set(sides["test"]["sessions"])
    held = [json.loads(line)["session"] for line in Path("env/test/cassette.jsonl").read_text().splitlines()[1:]]
    assert set(held) == set(sides["test"]["sessions"])
    with_models("env/test")
    assert drawbar("run", "env/test", "--model", "desk", "-q").status == 0
    rubric = Path("env/train/rubric.py")
    rubric.write_text("# mine\n" + rubric.read_text())
    assert drawbar("capture", "desk", "-o", "env", "--split", "0.5", "--force").status == 0
    assert rubric.read_text().startswith("# mine\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stratify", "user"], "--sample says how large it is"),
        (["--sample", "2", "--stratify", "usr"], "Did you mean 'user'"),
        (["--split", "1.5"], "a share between 0 and 1"),
    ],
)
def test_a_choice_that_cannot_be_made_is_told(
    drawbar: Drawbar, record: Record, arguments: list[str], said: str
) -> None:
    record(two_users)
    ended = drawbar("capture", "desk", "-o", "env", *arguments)
    assert (ended.status, said in ended.err) == (2, True), ended.err
    assert not Path("env").exists()
