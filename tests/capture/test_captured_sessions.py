"""Live sessions become an environment, and the same agent's model gets the same answers in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.capture.conftest import LOOK_UP, SYSTEM, Office, document, tasks
from tests.cli.conftest import Ended

Drawbar = Callable[..., Ended]
Record = Callable[..., Any]


async def two_orders(office: Office, **fields: Any) -> str:
    for order in (7, 8):
        agent = office.agent(**fields)
        await agent.say(f"Where is order {order}?")
    return await office.end()


@pytest.mark.parametrize("through_gateway", [False, True], ids=["own tools", "the gateway's tools"])
def test_a_captured_environment_runs_at_once_and_misses_nothing(
    drawbar: Drawbar, record: Record, with_models: Callable[[str], None], through_gateway: bool
) -> None:
    record(lambda office: two_orders(office, through_gateway=through_gateway))
    captured = drawbar("capture", "desk", "-o", "env")
    assert captured.status == 0, captured.err
    assert "2 tasks and 2 tool calls captured of" in captured.out
    server = "shop" if through_gateway else "agent"
    assert document("env", "tools.json")[server]["reconstructed"] is not through_gateway
    with_models("env")
    ran = drawbar("run", "env", "--model", "desk", "--judge-model", "kind", "--json")
    assert ran.status == 0, ran.err
    assert (ran.json["valid"], ran.json["reward"]["mean"]) == (2, 1.0)
    (drift,) = ran.json["cassettes"]
    assert (drift["hits"], drift["misses"], drift["unused"]) == (2, 0, 0)
    assert ran.json["metrics"]["as_recorded"] == 1.0


def test_a_task_is_the_first_request_with_its_system_prompt(drawbar: Drawbar, record: Record) -> None:
    session = record(two_orders)
    assert drawbar("capture", "desk", "-o", "env").status == 0
    task = tasks("env")[1]
    assert (task["key"], task["prompt"], task["system"]) == (session, "Where is order 8?", SYSTEM["content"])
    assert "answer" not in task
    info = task["info"]
    assert (info["session"], info["model"], info["recorded"]) == (session, "desk", "It is on its way to nobody.")
    assert (info["turns"], info["tools"]) == (2, {"agent.look_up": 1})


def test_another_model_is_told_what_it_asked_that_nobody_had_asked(
    drawbar: Drawbar, record: Record, with_models: Callable[[str], None]
) -> None:
    record(two_orders)
    assert drawbar("capture", "desk", "-o", "env").status == 0
    with_models("env")
    ran = drawbar("run", "env", "--model", "hasty", "-q")
    assert ran.status == 1
    assert 'missed 2x  look_up {"order":4711}' in ran.out


def test_an_environment_without_a_judges_model_runs_and_says_what_is_not_scored(
    drawbar: Drawbar, record: Record, with_models: Callable[[str], None]
) -> None:
    record(two_orders)
    assert drawbar("capture", "desk", "-o", "env").status == 0
    with_models("env")
    ran = drawbar("run", "env", "--model", "desk", "--json")
    assert ran.status == 0, ran.err
    assert (ran.json["valid"], ran.json["reward"]["mean"], ran.json["missing"]) == (2, None, {"as_good": 2})
    (session, *_) = drawbar("show", ran.json["run"], "--json").json["sessions"]
    shown = drawbar("show", session["session"]).out
    assert "no model is named for it (by its environment, or --judge-model)" in " ".join(shown.split())
    assert "No model is named for the judge" in Path("env/README.md").read_text()


def test_what_the_user_said_later_is_said_again(
    drawbar: Drawbar, record: Record, with_models: Callable[[str], None]
) -> None:
    async def work(office: Office) -> None:
        agent = office.agent()
        for text in ("Where is order 7?", "And order 8?", "Thanks."):
            await agent.say(text)
        await office.end()

    record(work)
    assert drawbar("capture", "desk", "-o", "env").status == 0
    (task,) = tasks("env")
    assert (task["prompt"], task["user_turns"]) == ("Where is order 7?", ["And order 8?", "Thanks."])
    assert task["info"]["recorded"] == "You are welcome."
    with_models("env")
    ran = drawbar("run", "env", "--model", "desk", "--judge-model", "kind", "--json")
    assert ran.status == 0, ran.err
    (drift,) = ran.json["cassettes"]
    assert (drift["hits"], drift["misses"], drift["unused"]) == (2, 0, 0)
    assert ran.json["metrics"]["as_recorded"] == 1.0


def test_a_session_that_begins_in_the_middle_keeps_what_was_said_before(drawbar: Drawbar, record: Record) -> None:
    before = [
        {"role": "user", "content": "Good morning."},
        {"role": "assistant", "content": "Good morning. What is it?"},
    ]

    async def work(office: Office) -> None:
        agent = office.agent(said=[dict(SYSTEM), *before])
        await agent.say("Where is order 7?")
        await agent.say("Thanks.")
        await office.end()

    record(work)
    assert drawbar("capture", "desk", "-o", "env").status == 0
    (task,) = tasks("env")
    assert task["prompt"] == [*before, {"role": "user", "content": "Where is order 7?"}]
    assert task["user_turns"] == ["Thanks."]


def test_what_an_agent_reminds_its_model_of_is_not_what_the_user_says_later(drawbar: Drawbar, record: Record) -> None:
    reminder = "<system-reminder>\n1,000 tokens are left\n</system-reminder>"

    async def work(office: Office) -> None:
        agent = office.agent()
        await agent.say("Where is order 7?")
        await agent.say(f"{reminder}\n\nThanks.")
        await agent.say(reminder)
        await office.end()

    record(work)
    assert drawbar("capture", "desk", "-o", "env").status == 0
    assert tasks("env")[0]["user_turns"] == ["Thanks."]


def test_what_a_user_took_back_is_not_said_again(drawbar: Drawbar, record: Record) -> None:
    async def work(office: Office) -> None:
        agent = office.agent()
        await agent.say("Where is order 7?")
        so_far = list(agent.said)
        await agent.say("And order 9?")
        agent.said[:] = so_far
        await agent.say("And order 8?")
        await office.end()

    record(work)
    assert drawbar("capture", "desk", "-o", "env").status == 0
    later = [turn for task in tasks("env") for turn in task.get("user_turns", [])]
    assert later == ["And order 8?"]


def test_a_correction_is_the_answer_and_so_is_what_somebody_liked(drawbar: Drawbar, record: Record) -> None:
    async def work(office: Office) -> None:
        for order, said in (
            (1, {"thumbs": "up"}),
            (2, {"thumbs": "down"}),
            (3, {"thumbs": "up", "correction": "It is lost."}),
        ):
            await office.agent().say(f"Where is order {order}?")
            await office.post(f"/api/sessions/{await office.end()}/feedback", said)

    record(work)
    assert drawbar("capture", "desk", "-o", "env").status == 0
    found = [(task.get("answer"), task["info"].get("answer_source")) for task in tasks("env")]
    assert found == [("It is on its way to nobody.", "accepted"), (None, None), ("It is lost.", "correction")]
    assert tasks("env")[1]["info"]["feedback"] == {"thumbs": 0.0}
    assert "| with a reference answer | 2 (accepted 1, correction 1) |" in Path("env/README.md").read_text()


def test_changes_of_a_tools_schema_are_noted_and_the_newest_holds(drawbar: Drawbar, record: Record) -> None:
    function = LOOK_UP["function"]
    assert isinstance(function, dict)
    newer = {"type": "function", "function": {**function, "description": "Look an order up, by its number."}}
    unused = {"type": "function", "function": {"name": "refund", "description": "Refund.", "parameters": {}}}

    async def work(office: Office) -> None:
        await office.agent().say("Where is order 1?")
        await office.agent(offered=[newer, unused]).say("Where is order 2?")
        await office.end()

    record(work)
    captured = drawbar("capture", "desk", "-o", "env")
    assert "2 different sets of tools" in captured.out
    found, refund = document("env", "tools.json")["agent"]["tools"]
    assert found["description"] == "Look an order up, by its number."
    assert [version["description"] for version in found["versions"]] == [
        "Look an order up.",
        "Look an order up, by its number.",
    ]
    assert (found["calls"], refund["name"], refund["calls"]) == (2, "refund", 0)
    shown = drawbar("cassette", "show", "env/cassette.jsonl", "--json").json
    assert [tool["tool"] for tool in shown["tools"]] == ["look_up", "refund"]


def test_labels_of_a_session_are_in_its_tasks_info(drawbar: Drawbar, record: Record) -> None:
    headers = {
        "x-drawbar-user": "ada", "x-drawbar-tags": "vip,eu", "x-drawbar-release": "1.2",
        "x-drawbar-metadata": '{"ticket": 9}',
    }  # fmt: skip
    record(lambda office: two_orders(office, headers=headers))
    assert drawbar("capture", "desk", "-o", "env", "--where", "user = ada").status == 0
    info = tasks("env")[0]["info"]
    assert (info["user"], info["tags"], info["release"], info["labels"]) == ("ada", ["vip", "eu"], "1.2", {"ticket": 9})
